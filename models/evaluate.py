"""Every figure of the models, measured again on the data that is present; `./dev eval` calls this.

    python evaluate.py --vigie target/release/vigie [--data DIR] [--only sentiment|assets|trend|forecast] [FILE.tsv]

Each part is a script of its own; this runs them one after the other, prints what they print, and writes it into the model cards (README.md of
each model, between the two marks). What needs data that may not be redistributed (DIR, else VIGIE_TEST_DATA, else ../shared/data beside the
repository) is skipped with a reason where that is absent, and its card is left as it is. With FILE.tsv (label, tab, text) only the sentiment of that
file is measured, and no card is written.
"""

import argparse
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

MODELS = pathlib.Path(__file__).resolve().parent
BEGIN, END = "<!-- figures: written by ./dev eval -->", "<!-- end of figures -->"


def run(title: str, command: list, folder: pathlib.Path) -> str:
    """What the command prints, which is also passed on line by line."""
    print(f"\n== {title}", flush=True)
    lines = []
    with subprocess.Popen([str(part) for part in command], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{title}: exit code {process.returncode}")
    return "".join(lines)


def write_card(card: pathlib.Path, figures: str) -> None:
    before, mark, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        sys.exit(f"{card}: the marks {BEGIN} and {END} are missing")
    card.write_text(f"{before}{mark}\n```text\n{figures.strip()}\n```\n{end}{after}", encoding="utf-8")


def sentiment(data: pathlib.Path | None, vigie: str) -> None:
    here, python = MODELS / "sentiment", [sys.executable, "-B"]
    files = ["crypto_val.tsv:en", "french_val.tsv:fr", "news_val_en.tsv:en", "news_val_fr.tsv:fr", "turns_val_fr.tsv:fr"]
    labelled = data / "sentiment_more/labelled" if data else None
    with tempfile.TemporaryDirectory() as scratch:
        if data:
            real = pathlib.Path(scratch) / "real_val.tsv"
            subprocess.run([*python, here / "real_posts.py", "--posts", data / "recorded/posts", "--val", real], check=True)
            files = [f"{data}/sentiment/val.tsv:en", f"{real}:en", *files]
        if labelled and labelled.is_dir():
            split = [*python, here / "foreign.py", "--data", labelled, "--third", "final", "--out", scratch]
            subprocess.run(split, check=True)
            subprocess.run([*python, here / "turns.py", "--data", data, "--real", scratch], check=True)
            files += [f"{scratch}/{kind}_{language}.tsv:{language}" for kind in ("turns_real", "foreign") for language in ("en", "fr")]
        else:
            print(f"\n== sentiment of foreign sets\nskipped: no {labelled or 'data'}")
        figures = run("sentiment", [*python, "evaluate.py", *files], here)
        if data:
            learnt, judged = [data / "sentiment/train.tsv", "crypto_train.tsv"], [name.removesuffix(":en") for name in files[:3]]
            figures += "\n" + run("sentiment, faster ways", [*python, "frontier.py", "--train", *learnt, "--val", *judged], here)
            mood = [*python, "mood_evaluate.py", "--posts", data / "recorded/posts", "--command", f"{vigie} model score --model {here}"]
            figures += "\n" + run("mood towards each asset", mood, here)
            figures += "\n" + without_vnni([*python, "evaluate.py", files[0]], here)
    if data:
        write_card(here / "README.md", figures)


def without_vnni(command: list, here: pathlib.Path) -> str:
    """The figures as the kernels of a processor with AVX2 alone give them."""
    lacking = [tool for tool in ("gdb", "objdump") if not shutil.which(tool)]
    if lacking or platform.machine() != "x86_64":
        reason = f"{' and '.join(lacking)} not installed (Debian: gdb, binutils)" if lacking else f"{platform.machine()} is not x86_64"
        print(f"\n== sentiment without AVX-512 and VNNI\nskipped: {reason}")
        return ""
    printed = run("sentiment without AVX-512 and VNNI", ["gdb", "-nx", "-batch", "-x", "without_vnni.py", "--args", *command], here)
    # The rest is gdb's.
    figures = [line for line in printed.splitlines() if line.startswith(("  ", "val.tsv"))]
    if not figures:
        print("skipped: gdb cannot run it here (some containers forbid tracing)")
        return ""
    return "\n".join(["without AVX-512 and VNNI", *figures])


def assets(data: pathlib.Path | None, vigie: str) -> None:
    here = MODELS / "assets"
    command = [sys.executable, "-B", "evaluate.py", "--command", f"{vigie} model score --model {MODELS / 'sentiment'}"]
    figures = run("assets", command + (["--recorded", data / "recorded/posts"] if data else []), here)
    if data:
        write_card(here / "README.md", figures)


def trend(data: pathlib.Path | None, vigie: str) -> None:
    here = MODELS / "trend"
    if not data:
        return print("\n== trend\nskipped: no labelled series")
    series = data / "trend"
    with tempfile.TemporaryDirectory() as scored:
        for path in sorted(series.glob("*.csv")):
            with open(pathlib.Path(scored) / path.name, "w", encoding="utf-8") as target:
                subprocess.run([vigie, "model", "detect", path], stdout=target, check=True)
        subprocess.run([sys.executable, "-B", "test_nab.py"], cwd=here, check=True)
        command = [sys.executable, "-B", "evaluate.py", "--labels", series / "labels.json", "--scored", scored]
        figures = run("anomaly score", command, here)
    figures += "\n" + run("calibration", [sys.executable, "-B", "calibration.py", data], here)
    command = [sys.executable, "-B", "alerts.py", "--vigie", vigie, "--alerts", pathlib.Path(vigie).with_name("examples") / "alerts"]
    figures += "\n" + run("alerts", [*command, data / "recorded/posts"], here)
    write_card(here / "README.md", figures)


def forecast(data: pathlib.Path | None, vigie: str) -> None:
    here = MODELS / "trend/forecast"
    if not data:
        return print("\n== forecast\nskipped: no series")
    write_card(here / "README.md", run("forecast", [sys.executable, "-B", "evaluate.py", "--data", data / "trend"], here))


PARTS = {"sentiment": sentiment, "assets": assets, "trend": trend, "forecast": forecast}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--vigie", required=True)
    cli.add_argument("--data", type=pathlib.Path)
    cli.add_argument("--only", choices=PARTS)
    cli.add_argument("file", nargs="?", type=pathlib.Path)
    args = cli.parse_args()
    if args.file:
        command = [sys.executable, "-B", "evaluate.py", args.file.resolve()]
        run(f"sentiment of {args.file}", command, MODELS / "sentiment")
        return
    data = args.data or pathlib.Path(os.environ.get("VIGIE_TEST_DATA") or MODELS.parents[1] / "shared/data")
    if not data.is_dir():
        print(f"no data at {data}: only what is in the repository is measured, and no card is written", file=sys.stderr)
        data = None
    for name, part in PARTS.items():
        if args.only in (None, name):
            part(data.resolve() if data else None, str(pathlib.Path(args.vigie).resolve()))


if __name__ == "__main__":
    main()
