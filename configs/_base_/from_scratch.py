# What the models from random weights share: a SegFormer B0 with a slim head that learns from crops on two CPU cores.
_base_ = ["segformer.py", "mining_512x512.py", "schedule_160k.py", "runtime.py"]

crop_size = (256, 256)

model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(drop_path_rate=0.0),
    decode_head=dict(channels=64, norm_cfg=dict(type="BN", requires_grad=True)),
)

train_dataloader = dict(batch_size=8, num_workers=1)
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)

# Without pretrained weights the encoder learns as fast as the head.
optim_wrapper = dict(
    _delete_=True,
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-3, betas=(0.9, 0.999), weight_decay=0.01),
)
