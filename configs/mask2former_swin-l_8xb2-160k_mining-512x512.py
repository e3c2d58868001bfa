# The study's second model: Mask2Former with a Swin-L encoder, as MMSegmentation configures it, on our chips.
# Needs more than requirements.txt, see docs/training.md: MMDetection, and mmcv with compiled operators.
# The base lies in the installed package, which MMEngine finds by the name "mmseg::" only under the original's name.
_base_ = [
    f"{__import__('mmseg').__path__[0]}/.mim/configs/mask2former/"
    "mask2former_swin-l-in22k-384x384-pre_8xb2-160k_ade20k-640x640.py"
]

data_root = "segmentation/data/segmentation/2019"
metainfo = dict(classes=("background", "mine"), palette=[[38, 70, 53], [242, 143, 59]])
crop_size = (512, 512)

model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(
        num_classes=2,
        # Two classes, and a tenth of the weight for queries that find nothing.
        loss_cls=dict(class_weight=[1.0, 1.0, 0.1]),
    ),
)

train_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="LoadAnnotations"),
    dict(type="RandomResize", scale=crop_size, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type="RandomCrop", crop_size=crop_size, cat_max_ratio=0.95),
    dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PhotoMetricDistortion"),
    dict(type="PackSegInputs"),
]
test_pipeline = [
    dict(type="LoadImageFromFile", imdecode_backend="pillow"),
    dict(type="Resize", scale=crop_size, keep_ratio=True),
    dict(type="LoadAnnotations"),
    dict(type="PackSegInputs"),
]

_dataset = dict(
    _delete_=True,
    type="BaseSegDataset",
    data_root=data_root,
    metainfo=metainfo,
    img_suffix=".tif",
    seg_map_suffix=".tif",
)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        data_prefix=dict(img_path="img_dir/train", seg_map_path="ann_dir/train"), pipeline=train_pipeline, **_dataset
    ),
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="img_dir/val", seg_map_path="ann_dir/val"), pipeline=test_pipeline, **_dataset
    )
)
test_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img_path="img_dir/test", seg_map_path="ann_dir/test"), pipeline=test_pipeline, **_dataset
    )
)
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU", "mFscore"])
test_evaluator = val_evaluator
train_cfg = dict(max_iters=160000, val_interval=16000)
default_hooks = dict(checkpoint=dict(interval=16000, save_best=None))
