# The smallest SegFormer, for GPUs with little memory: trained as the study's B5.
_base_ = ["_base_/segformer.py", "_base_/mining_512x512.py", "_base_/schedule_160k.py", "_base_/runtime.py"]

# The encoder starts from ImageNet; OpenMMLab's conversion of the weights published with SegFormer.
checkpoint = "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b0_20220624-7e0fe6dd.pth"
model = dict(backbone=dict(init_cfg=dict(type="Pretrained", checkpoint=checkpoint)))
