"""The p99 of a client that behaves, alone and beside one that does not; and what credentials and budgets cost.

    python attack.py --ours "target/release/vigie api" --attack target/release/examples/attack --load target/release/examples/load
        (--stack JSON | --postgres-url URL --redis-url URL) [--fill ASSETS,DAYS] [--rounds 3] [--seconds 10] [--only ATTACK]

Everything is as it is by default: limits, caps, budgets. The attacker has another address (127.0.0.2, so this is for Linux), a process of its
own, and the lowest priority: on a machine of its own its work would not be the server's. The client is measured alone before and after
each attack, and all of it in one run; only ratios of one run say something. Prints JSON, one line for each measurement, and tables.
"""

import argparse
import asyncio
import json
import os
import pathlib
import resource
import shlex
import statistics
import subprocess
import tempfile
import time

from api import QUESTIONS, fill, free_port

ATTACKS = ("slowloris", "rapid-reset", "idle", "expensive", "streams")
SECRET = "0123456789abcdef0123456789abcdef"


class Server:
    """vigie's API, up while the ``with`` block runs."""

    def __init__(self, args: argparse.Namespace, *options: str, certificate: tuple[str, str] | None = None, header: str | None = None):
        self.args = args
        self.client_options = [*([f"--ca={certificate[0]}"] if certificate else []), *([f"--header={header}"] if header else [])]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{(port := free_port())}"
        self.command = [*shlex.split(args.ours), f"--api-listen=127.0.0.1:{port}", f"--postgres-url={args.postgres_url}",
                        f"--redis-url={args.redis_url}", *options]
        if certificate:
            self.command += [f"--api-tls-cert-file={certificate[0]}", f"--api-tls-key-file={certificate[1]}"]

    def __enter__(self) -> "Server":
        self.log = tempfile.TemporaryFile("w+")
        env = os.environ | {"VIGIE_OPS_LISTEN": "127.0.0.1:0"}
        self.process = subprocess.Popen(self.command, env=env, stderr=self.log, stdout=self.log)
        for _ in range(600):
            if self.process.poll() is None and self.client(1)["answered"]:
                return self
            time.sleep(0.1)
        self.log.seek(0)
        raise SystemExit(f"{self.command} does not answer: {self.log.read()}")

    def __exit__(self, *_) -> None:
        self.process.terminate()
        self.process.wait()

    def attack_command(self, kind: str, seconds: float, address: str) -> list[str]:
        return [self.args.attack, kind, self.url, f"--seconds={seconds}", f"--from={address}", *self.client_options]

    def client(self, seconds: float) -> dict:
        return json.loads(subprocess.run(self.attack_command("legitimate", seconds, "127.0.0.1"), check=True, capture_output=True).stdout)

    def cpu_seconds(self) -> float:
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def attacked(self, kind: str) -> tuple[dict, dict]:
        """The client beside the attacker, which begins a third of the time earlier."""
        seconds = self.args.seconds
        command = ["nice", "-n", "19", *self.attack_command(kind, seconds * 5 / 3, "127.0.0.2")]
        attacker = subprocess.Popen(command, stdout=subprocess.PIPE)
        time.sleep(seconds / 3)
        before = self.cpu_seconds()
        measured = self.client(seconds)
        return measured | {"cores": (self.cpu_seconds() - before) / seconds}, json.loads(attacker.communicate()[0])

    def load(self, path: str) -> dict:
        command = [self.args.load, self.url + path, f"--seconds={self.args.seconds}", "--connections=16", *self.client_options]
        before = self.cpu_seconds()
        measured = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        return measured | {"cpu_ms": (self.cpu_seconds() - before) * 1000 / max(measured["requests"], 1)}


def p99(measured: dict) -> float:
    return float("inf") if measured["p99_ms"] is None else measured["p99_ms"]


def certificate(folder: str) -> tuple[str, str]:
    files = f"{folder}/cert.pem", f"{folder}/key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=bench",
               "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def attacks(args: argparse.Namespace, note) -> None:
    ratios: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for kind in args.only or ATTACKS:
                with Server(args, certificate=certificate(folder) if kind == "rapid-reset" else None) as server:
                    server.client(args.seconds / 2)
                    before = server.client(args.seconds)
                    beside, attacker = server.attacked(kind)
                    after = server.client(args.seconds)
                alone = (p99(before) + p99(after)) / 2
                ratios.setdefault(kind, []).append((p99(beside) / alone, alone, p99(beside), beside["cores"]))
                note({"attack": kind, "round": turn, "before": before, "beside": beside, "after": after, "attacker": attacker})
    print("| attack | p99 alone, ms | beside, ms | ratio | rounds | server's cores |\n|---|---:|---:|---:|---|---:|")
    for kind, rounds in ratios.items():
        ratio, alone, beside, cores = (statistics.median(column) for column in zip(*rounds, strict=True))
        every = ", ".join(f"{one[0]:.2f}" for one in rounds)
        print(f"| {kind} | {alone:.1f} | {beside:.1f} | {ratio:.2f} | {every} | {cores:.2f} |")


def cost(args: argparse.Namespace, note) -> None:
    """The server's processor time for a request, and requests a second, with nothing checked, with budgets, with tokens, and with both; the
    budgets are too large to be spent."""
    budgets, auth = ("--api-rate=1000000", "--api-burst=1000000"), ("--auth=jwt", f"--auth-secret={SECRET}")
    issue = [*args.token, auth[1], "--subject=bench", "--scopes=read:insights,read:posts"]
    header = "Authorization: Bearer " + json.loads(subprocess.run(issue, check=True, capture_output=True).stdout)["token"]
    free = "--api-rate=0"
    ways = {"neither": ([free], None), "budgets": (budgets, None), "tokens": ([free, *auth], header), "both": ([*budgets, *auth], header)}
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(args.rounds):
        for way, (options, header) in ways.items():
            with Server(args, *options, header=header) as server:
                for name, path in QUESTIONS.items():
                    measured = server.load(path)
                    if set(measured["statuses"]) != {"200"}:
                        raise SystemExit(f"{way}, {name}: {measured['statuses']}")
                    taken.setdefault((name, way), []).append((measured["cpu_ms"], measured["per_second"]))
                    note({"cost": way, "question": name, "round": turn} | measured)
    print("| question |" + "".join(f" {way} |" for way in ways) + "\n|---|" + "---:|" * len(ways))
    for name in QUESTIONS:
        middle = {way: [statistics.median(column) for column in zip(*taken[name, way], strict=True)] for way in ways}
        cells = (f" {cpu * 1000:.0f} µs ({cpu / middle['neither'][0]:.2f}), {rate:,.0f}/s |" for cpu, rate in middle.values())
        print(f"| {name} |" + "".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", required=True)
    parser.add_argument("--attack", required=True)
    parser.add_argument("--load", required=True)
    parser.add_argument("--token", type=shlex.split, default=[], help="command that prints a token as JSON: `vigie token issue --json`")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--postgres-url")
    where.add_argument("--stack", type=json.loads, help="addresses as the example `hold` prints them")
    parser.add_argument("--redis-url", default="redis://127.0.0.1:1")
    parser.add_argument("--fill", metavar="ASSETS,DAYS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--only", action="append", choices=[*ATTACKS, "cost"])
    args = parser.parse_args()
    if args.stack:
        args.postgres_url, args.redis_url = args.stack["postgres_url"], args.stack["redis_url"]
    if args.fill:
        asyncio.run(fill(args.postgres_url, *map(int, args.fill.split(","))))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def note(measured: dict) -> None:
        print(json.dumps(measured), flush=True)

    only = args.only
    args.only = [kind for kind in only or [] if kind != "cost"]
    if not only or args.only:
        attacks(args, note)
    if args.token and (not only or "cost" in only):
        cost(args, note)


if __name__ == "__main__":
    main()
