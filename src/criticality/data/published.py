"""The published image sets: their files, checksums, sizes and mirrors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from criticality.data import mnist_wheel
from criticality.data.dataset import Shape

PARTS = ("train-images", "train-labels", "t10k-images", "t10k-labels")
SHAPE = Shape(train=60_000, test=10_000, features=28 * 28, classes=10)


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published data set.

    Attributes
    ----------
    sha256_gz, sha256
        Of each part as published, and of its decompressed payload ("" where not known).
    mirrors
        Base addresses.
    system
        Folder where a system package puts the files ("" if there is none).
    package
        How to get the payloads from the package index, part -> bytes (None if impossible).
    shape
        Sizes, known without loading.
    """

    title: str
    licence: str
    sha256_gz: tuple[str, str, str, str]
    sha256: tuple[str, str, str, str]
    mirrors: tuple[str, ...]
    system: str = ""
    package: Callable[[], dict[str, bytes]] | None = None
    shape: Shape = SHAPE


SOURCES = {
    "mnist": Source(
        title="MNIST handwritten digits (Y. LeCun, C. Cortes, C. Burges)",
        licence="CC BY-SA 3.0",
        sha256_gz=(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
        mirrors=(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
        package=mnist_wheel.payloads,
    ),
    "fashion-mnist": Source(
        title="Fashion-MNIST clothing articles (H. Xiao, K. Rasul, R. Vollgraf)",
        licence="MIT",
        sha256_gz=(
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
        ),
        system="/usr/share/datasets/fashion-mnist",
    ),
    "kmnist": Source(
        title="KMNIST cursive Japanese characters (T. Clanuwat et al.)",
        licence="CC BY-SA 4.0",
        sha256_gz=(
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        sha256=(
            "",
            "",
            "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e",
            "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6",
        ),
        mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist",),
    ),
}
KMNIST_10K = "kmnist-10k"  # the official 10,000-image part, split in published order
KMNIST_10K_SHAPE = Shape(train=8_000, test=2_000, features=28 * 28, classes=10)
