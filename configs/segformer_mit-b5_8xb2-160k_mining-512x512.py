# The study's model: SegFormer with a Mix Transformer B5, 8 GPUs with 2 chips each, 160,000 iterations.
_base_ = ["_base_/segformer.py", "_base_/mining_512x512.py", "_base_/schedule_160k.py", "_base_/runtime.py"]

# The encoder starts from ImageNet; OpenMMLab's conversion of the weights published with SegFormer.
checkpoint = "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b5_20220624-658746d9.pth"
model = dict(
    backbone=dict(
        init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
        embed_dims=64,
        num_layers=[3, 6, 40, 3],
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
