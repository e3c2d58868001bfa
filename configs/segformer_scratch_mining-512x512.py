# A SegFormer B0 with a slim head from random weights: for a few dozen chips and machines without a GPU.
# The more chips, the more iterations: about 150 passes over the training chips.
_base_ = "_base_/from_scratch.py"

iterations = 800
chip_size = (512, 512)
crop_size = (256, 256)

# Few places show few sizes, directions and colours of soil and light; the model has to know others too.
train_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=chip_size, ratio_range=(0.67, 1.5), keep_ratio=True),
    dict(type="RandomRotate", prob=0.75, degree=180.0, pad_val=0, seg_pad_val=255),
    # A crop that is nearly all background teaches little; after ten tries it is taken nevertheless.
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.95),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(lr=5e-4))
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="PolyLR", eta_min=0.0, power=0.9, begin=50, end=iterations, by_epoch=False),
]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=200))
