"""EfficientNet-Lite0 with the weights of ImageNet on a few pictures: its body frozen, or all of it trained on."""

from distbp.bounds import Fraction, NonNegativeInt, PositiveInt
from distbp.data.class_folders import read_class_folders
from distbp.data.fashion_folder import fashion_folder
from distbp.data.few_pictures import few
from distbp.data.picture import require_pillow
from distbp.data.readers import Readers
from distbp.errors import RequestError
from distbp.workloads.announce import announce
from distbp.workloads.base import Workload
from distbp.workloads.beginnings import begin
from distbp.workloads.efficientnet import CHANNELS, Frozen, lite
from distbp.workloads.photographs import photographs
from distbp.workloads.pictures import cross_entropy, top_five
from distbp.workloads.soft_labels import Alpha, softened

LEAST_SIDE = 32  # pixels of which one is left in the end
MEAN, DEVIATION = [127 / 255] * CHANNELS, [128 / 255] * CHANNELS  # the pictures that the weights were found on
MIN_PART = 2  # batch norm has no variance of one


def transfer(
    *,
    weights: str | None,
    frozen: Frozen | None,
    side: PositiveInt,
    pictures: PositiveInt | None,
    held_out: NonNegativeInt,
    dropout: Fraction,
    padding: NonNegativeInt | None,
    readers: PositiveInt,
    label_smoothing: Fraction = 0.0,
    mixup: Alpha = 0.0,
    path: str | None,
    cache: str,
    seed: int,
) -> Workload:
    """EfficientNet-Lite0 on the first ``pictures`` of each class of the class folders of ``path``, from ``weights``.

    Of the net its ``body`` may be ``frozen``, all but the last layer, or its ``norms``; frozen batch norms are in
    evaluation mode. Pictures of ``side`` pixels are augmented as those of ``resnet``. The last ``held_out`` of each
    class are kept from training in any case, and are the split ``validation``.
    """
    if side < LEAST_SIDE:
        raise RequestError("workload.side", side, f"at least {LEAST_SIDE} pixels are needed")
    require_pillow()
    threads = Readers(readers)
    folders = read_class_folders(path or fashion_folder(cache, announce), cache, threads, announce)
    folders["train"], validation = few(folders["train"], pictures, held_out)
    if held_out:
        folders["validation"] = validation
    net = lite(len(folders["train"].classes), dropout=dropout, seed=seed)
    begin(net, weights, cache)
    if frozen:
        net.freeze(frozen)
    training, splits = photographs(folders, threads, side=side, mean=MEAN, deviation=DEVIATION, padding=padding)
    made = Workload(
        module=net,
        loss=cross_entropy,
        metrics=top_five,
        training=training,
        splits=splits,
        names=(folders["train"].classes,),
        min_part=1 if frozen else MIN_PART,
    )
    return softened(made, label_smoothing=label_smoothing, mixup=mixup)
