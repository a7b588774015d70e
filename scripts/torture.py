"""Interrupts trainings in every way that happens to people, and checks that nothing of it can be seen in what they learn.

    python scripts/torture.py [--faults 200] [--seed 1] [--folder DIR]

Small runs of every model, with accumulation, drawn pieces and early stopping among them, are made twice: undisturbed, and with a fault in
every process until the run is done: SIGKILL, SIGTERM or SIGINT at a random moment, SIGKILL inside a checkpoint that is written slowly, a
full disk, a truncated or flipped byte in the newest checkpoint or in the store, one process of two killed. In some runs certain updates
have a gradient that is not a number, in the undisturbed run too. The weights at the end must be the same to the bit, every logged step must
stand once in TensorBoard and in ``metrics.jsonl``, no process may take longer than 30 s (60 s for two) to end, and what it says of a fault
that it noticed must be one line that names the file or the process. Prints a line a fault and a table at the end; exit status 1 where
anything was amiss. Processes are forked, so that starting them costs nothing.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file

from nmt.commands import train
from nmt.config import (
    BahdanauConfig,
    CleaningConfig,
    Config,
    FilesDataConfig,
    LuongConfig,
    ModelConfig,
    ScheduleConfig,
    SearchConfig,
    StackConfig,
    TokenizerConfig,
    TrackingConfig,
    TrainConfig,
    TransformerConfig,
)
from nmt.errors import RunFailure, UserError
from nmt.hardware import set_up_cpu
from nmt.run_folder import RunFolder
from nmt.startup import tune_process
from nmt.training import checkpoint, update

MODELS: dict[str, ModelConfig] = {
    "bahdanau": BahdanauConfig(embedding_dim=13, hidden_dim=14),
    "luong": LuongConfig(embedding_dim=13, hidden_dim=14),
    "transformer": TransformerConfig(
        model_dim=22, num_heads=2, feedforward_dim=29, encoder=StackConfig(num_layers=2), decoder=StackConfig(num_layers=1)
    ),
}

ALONE_S, GROUP_S = 30.0, 60.0
"""Seconds after which a process, or two together, are taken to hang."""

FAULTS = ["kill", "term", "int", "kill while saving", "full disk", "damaged checkpoint", "damaged store", "one of two killed"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: its exit status or minus its signal, what it printed, and how long it took."""

    status: int
    text: str
    seconds: float


def main() -> int:
    tune_process()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    set_up_cpu(1)
    numbers = random.Random(arguments.seed)
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder)
        number = 0
        while counts.total() < arguments.faults:
            number += 1
            run = Torture(folder, number, numbers, counts, wrong)
            run.go()
    for name in FAULTS:
        print(f"{name:22} {counts[name]}")
    print(f"{counts.total()} faults in {number} runs, {len(wrong)} amiss")
    for line in wrong:
        print(f"AMISS {line}")
    return 1 if wrong else 0


def write_text(folder: Path) -> None:
    """Two files of random words, one a translation of the other word by word."""
    numbers = random.Random(7)
    words = ["null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun"]
    lines = [[numbers.randrange(10) for _ in range(numbers.randint(2, 6))] for _ in range(400)]
    (folder / "x.de").write_text("".join(" ".join(words[i] for i in line) + "\n" for line in lines))
    (folder / "x.en").write_text("".join(" ".join(words[9 - i] for i in line) + "\n" for line in lines))


class Torture:
    """One run, undisturbed and disturbed."""

    def __init__(self, folder: Path, number: int, numbers: random.Random, counts: Counter[str], wrong: list[str]) -> None:
        self.numbers, self.counts, self.wrong = numbers, counts, wrong
        self.folder, self.number = folder, number
        name = list(MODELS)[number % len(MODELS)]
        sampling = 0.2 if numbers.random() < 0.3 else None
        self.bad_steps = frozenset(numbers.sample(range(30), 3)) if numbers.random() < 0.4 else frozenset()
        self.two = numbers.random() < 0.15
        self.config = Config(
            name=f"{name}-{number}",
            output_dir=str(folder / "undisturbed"),
            seed=number,
            data=FilesDataConfig(
                source=str(folder / "x.de"),
                target=str(folder / "x.en"),
                dev_size=11,
                test_size=7,
                store_dir=str(folder / "store"),
                cleaning=CleaningConfig(max_copy_length=None),
            ),
            tokenizer=TokenizerConfig(vocab_size=30, sampling_alpha=sampling),
            model=MODELS[name],
            schedule=ScheduleConfig(warmup_steps=5),
            train=TrainConfig(
                max_steps=30,
                max_tokens=128,
                microbatches=2,
                validate_every=numbers.choice([7, 10]),
                save_every=numbers.choice([2, 3]),
                log_every=numbers.choice([1, 2]),
                patience=numbers.choice([None, 3]),
                keep_last=3,
            ),
            search=SearchConfig(beam_size=2),
            tracking=TrackingConfig(num_samples=1),
        )

    def go(self) -> None:
        whole = self.start(self.config, 1)()
        if whole.status:
            self.amiss(f"the undisturbed run ended with {whole.status}: {whole.text}")
            return
        self.length = whole.seconds
        disturbed = replace(self.config, output_dir=str(self.folder / "disturbed"))
        for _ in range(60):
            fault = self.numbers.choice(FAULTS[:-1])
            if self.two:
                fault = self.numbers.choice(["one of two killed", "term", "kill while saving"])
            ended, damaged = self.disturb(disturbed, fault)
            self.check(fault, ended, disturbed, struck=damaged or ended.status != 0)
            if ended.status == 0:
                break
        else:
            self.amiss("the run did not end within 60 processes")
        self.compare(disturbed)
        shutil.rmtree(Path(disturbed.output_dir) / disturbed.name)

    def disturb(self, config: Config, fault: str) -> tuple[Ended, bool]:
        """One process, or two, with a fault; and whether a file was damaged. Others strike unless the run is done before."""
        path = RunFolder(Path(config.output_dir) / config.name)
        moment = self.numbers.uniform(0.0, 1.2) * self.length
        processes = 2 if self.two else 1
        if fault in ("kill", "term", "int"):
            number = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "int": signal.SIGINT}[fault]
            return self.start(config, processes)(lambda pids: [os.kill(pid, number) for pid in pids], moment), False
        if fault == "one of two killed":
            victim = self.numbers.randrange(2)
            return self.start(config, 2)(lambda pids: os.kill(pids[victim], signal.SIGKILL), moment), False
        if fault == "kill while saving":
            return self.start(config, processes, slow_after=self.numbers.randint(1, 9))(), False
        if fault == "full disk":
            return self.start(config, processes, full_after=self.numbers.randint(1, 40_000))(), False
        files: list[Path] = []
        steps = path.checkpoints.steps()
        if fault == "damaged checkpoint" and len(steps) > 1:
            files = [file for file in (path.checkpoints.folder / f"step-{steps[-1]:08d}").iterdir() if file.is_file()]
        store = Path(config.data.store_dir) / str(path.status.get("data", "none"))
        if fault == "damaged store" and store.exists():
            files = [file for file in sorted(store.iterdir()) if file.stat().st_size]
        if files:
            self.damage(self.numbers.choice(files))
        return self.start(config, processes)(), bool(files)

    def damage(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        if self.numbers.random() < 0.5:
            content = content[: self.numbers.randrange(len(content))]
        else:
            content[self.numbers.randrange(len(content))] ^= 1 << self.numbers.randrange(8)
        path.write_bytes(bytes(content))

    def check(self, fault: str, ended: Ended, config: Config, *, struck: bool) -> None:
        """Count the fault if it struck, and say what is amiss with the way in which the process ended."""
        self.counts[fault] += struck
        words = ended.text.strip().splitlines()
        print(
            f"{config.name:16} {fault:20} status {ended.status:4} {ended.seconds:5.1f} s  {words[-1][:150] if words else ''}",
            flush=True,
        )
        if ended.seconds > (GROUP_S if self.two else ALONE_S):
            self.amiss(f"{fault}: took {ended.seconds:.1f} s")
        if "Traceback" in ended.text:
            self.amiss(f"{fault}: a traceback: {ended.text}")
        if ended.status in (1, 2) and len(words) != (2 if self.two else 1):
            self.amiss(f"{fault}: {len(words)} lines: {ended.text}")
        if ended.status == 2:  # a store that is damaged has to be deleted, as the message says
            store = Path(config.data.store_dir)
            if str(store) not in ended.text:
                self.amiss(f"{fault}: no file is named: {ended.text}")
            shutil.rmtree(store)

    def compare(self, disturbed: Config) -> None:
        """The undisturbed run and the other one must have learned and logged the same."""
        runs = [RunFolder(Path(config.output_dir) / config.name) for config in (self.config, disturbed)]
        steps = [run.checkpoints.steps()[-1] for run in runs]
        if steps[0] != steps[1]:
            self.amiss(f"ended at step {steps[1]} instead of {steps[0]}")
            return
        weights = [load_file(run.checkpoints.folder / f"step-{steps[0]:08d}" / "model.safetensors") for run in runs]
        if any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0]):
            self.amiss("the weights differ")
        logged = [[(record["step"], record.get("train/nll"), record.get("dev/nll")) for record in records(run)] for run in runs]
        if logged[0] != logged[1]:
            self.amiss(f"metrics.jsonl differs: {logged}")
        for tag, found in tensorboard_steps(runs[1].path).items():
            if found != sorted(set(found)):
                self.amiss(f"TensorBoard has steps of {tag} twice: {found}")

    def amiss(self, what: str) -> None:
        self.wrong.append(f"{self.config.name}: {what}")
        print(f"AMISS {self.wrong[-1]}", flush=True)

    def start(self, config: Config, processes: int, **faults: int) -> Callable[..., Ended]:
        """Fork the processes of a run; what is given is called to wait for them, perhaps with something done to them after a while."""
        begun = time.monotonic()
        port = free_port()
        output = self.folder / "output.txt"
        output.write_text("")
        pids = []
        for rank in range(processes):
            pid = os.fork()
            if not pid:
                os._exit(child(config, rank, processes, port, output, self.bad_steps, **faults))
            pids.append(pid)

        def wait(strike: Callable[[list[int]], Any] | None = None, moment: float = 0.0) -> Ended:
            left, status = set(pids), 0
            while left:
                for pid in list(left):
                    done, raw = os.waitpid(pid, os.WNOHANG)
                    if done:
                        left.discard(pid)
                        status = status or os.waitstatus_to_exitcode(raw)
                passed = time.monotonic() - begun
                if strike and passed > moment and len(left) == len(pids):
                    strike(pids)
                    strike = None
                if passed > 2 * GROUP_S:
                    for pid in left:
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.002)
            return Ended(status, output.read_text(), time.monotonic() - begun)

        return wait


def child(config: Config, rank: int, processes: int, port: int, output: Path, bad_steps: frozenset[int], **faults: int) -> int:
    """A process of a run: exit status and messages as those of the command line."""
    if processes > 1:
        os.environ |= {"TORCHELASTIC_RUN_ID": "none", "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"LOCAL_WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with output.open("a") as file, redirect_stdout(open(os.devnull, "w")), redirect_stderr(file), injected(bad_steps, **faults):
        try:
            return train.main(config)
        except UserError as error:
            print(f"process {rank}: {error}", file=file)
            return 2
        except RunFailure as error:
            print(f"process {rank}: FAILED {error}", file=file)
            return 1
        except KeyboardInterrupt:
            print(f"process {rank}: interrupted", file=file)
            return 130
        except BaseException:
            import traceback

            traceback.print_exc(file=file)
            return 70


@contextmanager
def injected(bad_steps: frozenset[int], slow_after: int = 0, full_after: int = 0) -> Any:
    """Gradients that are not numbers at some steps; the nth file of checkpoints waited for, and killed in; a disk that is full."""
    change, sync, save = update.Updater._change_weights, checkpoint.sync, checkpoint.save_file
    synced = written = 0

    def bad(self: Any, step: int) -> None:
        if step in bad_steps:
            for parameter in self._parameters[:1]:
                parameter.grad.fill_(float("nan"))
        change(self, step)

    def slow(path: Path) -> None:
        nonlocal synced
        synced += 1
        if slow_after and synced >= slow_after:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(path)

    def full(tensors: Any, path: Path) -> None:
        nonlocal written
        save(tensors, path)
        written += path.stat().st_size
        if full_after and written > full_after:
            os.truncate(path, full_after % path.stat().st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with (
        mock.patch.object(update.Updater, "_change_weights", bad),
        mock.patch.object(checkpoint, "sync", slow),
        mock.patch.object(checkpoint, "save_file", full),
    ):
        yield


def records(run: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]


def tensorboard_steps(path: Path) -> dict[str, list[int]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it warns of what a resumed run has taken back
    events = EventAccumulator(str(path / "tensorboard"))
    events.Reload()
    return {tag: [event.step for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
