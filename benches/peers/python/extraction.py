"""Feeds and pages in Python beside vigie, on the same files, in turns, each on one thread.

    python extraction.py --ours target/release/examples/throughput [--data DIR] [--rounds 3]

- feeds: ``feedparser.parse`` beside vigie's reader, which also cleans the text and names the posts.
- pages: BeautifulSoup with lxml (title and all text), and trafilatura (the article), beside vigie's reader of articles.

The files are recorded answers under ``--data`` (default: ``VIGIE_TEST_DATA`` or ``../shared/data``), else made-up ones. Every program reads all of them
in each round; reading them from disk and starting up are not counted.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time


def made_up(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    words = "Bitcoin and ether rise while fees fall and nobody knows why. " * 12
    items = "".join(
        f"<item><title>Post {n}</title><link>http://a.example/{n}</link><guid>{n}</guid><pubDate>Mon, 23 Nov 2020 10:{n % 60:02}:00 GMT</pubDate>"
        f"<description>&lt;p&gt;{words}&lt;/p&gt;</description></item>"
        for n in range(200)
    )
    feed = folder / "feed.xml"
    feed.write_text(f"<?xml version='1.0'?><rss version='2.0'><channel><title>T</title>{items}</channel></rss>", encoding="utf-8")
    page = folder / "page.html"
    body = "".join(f"<p>{words} <a href='/{n}'>more</a></p>" for n in range(100))
    page.write_text(f"<!doctype html><html><head><title>T</title></head><body><nav>menu</nav><article>{body}</article></body></html>", encoding="utf-8")
    return [feed], [page]


def recorded(folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    feeds = [path for name in ("rss", "atom", "medium", "youtube") for path in folder.glob(f"recorded/{name}/*") if path.suffix in (".xml", ".rss", ".atom")]
    pages = [path for path in folder.glob("recorded/html/**/*.html") if path.stat().st_size < 4 << 20]
    return sorted(feeds), sorted(pages)


def feedparser_loop(documents: list[bytes]) -> int:
    import feedparser

    return sum(len(feedparser.parse(document).entries) for document in documents)


def soup_loop(documents: list[bytes]) -> int:
    from bs4 import BeautifulSoup

    found = 0
    for document in documents:
        soup = BeautifulSoup(document, "lxml")
        for element in soup(["script", "style"]):
            element.decompose()
        found += bool(soup.title and soup.title.string) + bool(soup.get_text(" ", strip=True))
    return found


def trafilatura_loop(documents: list[bytes]) -> int:
    import trafilatura

    return sum(trafilatura.extract(document, with_metadata=True, url="https://base.example/dir/page") is not None for document in documents)


def in_python(loop, documents: list[bytes]) -> float:
    started = time.perf_counter()
    loop(documents)
    return sum(map(len, documents)) / 1e6 / (time.perf_counter() - started)


def ours(program: str, kind: str, paths: list[pathlib.Path]) -> float:
    out = subprocess.run([program, kind, "3", *map(str, paths)], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["megabytes_per_second"]


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--ours", required=True)
    cli.add_argument("--data", type=pathlib.Path, default=pathlib.Path(os.environ.get("VIGIE_TEST_DATA", "../shared/data")))
    cli.add_argument("--rounds", type=int, default=3)
    args = cli.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        feeds, pages = recorded(args.data)
        if not feeds or not pages:
            feeds, pages = made_up(pathlib.Path(scratch))
        contests = [
            ("feeds", feeds, "rss", {"feedparser": feedparser_loop}),
            ("pages", pages, "html", {"BeautifulSoup with lxml": soup_loop, "trafilatura": trafilatura_loop}),
        ]
        for name, paths, kind, peers in contests:
            documents = [path.read_bytes() for path in paths]
            print(f"{name}: {len(paths)} files, {sum(map(len, documents)) / 1e6:.2f} MB")
            paces: dict[str, list[float]] = {"vigie": [], **{peer: [] for peer in peers}}
            for number in range(args.rounds + 1):
                turn = {"vigie": ours(args.ours, kind, paths), **{peer: in_python(loop, documents) for peer, loop in peers.items()}}
                if number:  # the first round warms up
                    for peer, pace in turn.items():
                        paces[peer].append(pace)
            base = statistics.median(paces["vigie"])
            for peer, each in paces.items():
                pace = statistics.median(each)
                print(f"  {peer}: {pace:.2f} MB/s ({min(each):.2f} to {max(each):.2f}), vigie is {base / pace:.1f} x as fast")


if __name__ == "__main__":
    main()
