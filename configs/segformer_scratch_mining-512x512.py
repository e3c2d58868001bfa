# A SegFormer B0 with a slim head from random weights: for a few dozen chips and machines without a GPU.
# The more chips, the more iterations: about 150 passes over the training chips.
_base_ = ["_base_/segformer.py", "_base_/mining_512x512.py", "_base_/schedule_160k.py", "_base_/runtime.py"]

iterations = 800
chip_size = (512, 512)
crop_size = (256, 256)

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(channels=64, norm_cfg=dict(type="BN", requires_grad=True)),
)

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
train_dataloader = dict(batch_size=8, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)

# Without pretrained weights the encoder learns as fast as the head.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=5e-4, betas=(0.9, 0.999), weight_decay=0.01),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=1e-3, by_epoch=False, begin=0, end=50),
    dict(type="PolyLR", eta_min=0.0, power=0.9, begin=50, end=iterations, by_epoch=False),
]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=200))
