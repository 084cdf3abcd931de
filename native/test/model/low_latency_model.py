#!/usr/bin/env python3
"""The words of low-latency mode, as a model with random programs and random schedules.

    low_latency_model.py PROGRAMS

In it 1 to 4 ranks make dispatches and combines in all forms (fused or in halves, staged or in place, up to two
open, normal calls between). A rank's kernels run one after the other; of different ranks any may take the next
step. Two words are published late, by the writer's next low-latency kernel, to save a round of fences:
"emptied" (an inbox was packed) and "read" (an output was summed). Checked is that every program ends, that no
inbox slot is written before its rows were taken, no output before all have read it, and that what is taken is of
the right call. Then the same without each of the two waits, which must be found out.
"""
import random
import sys
from collections import namedtuple

STUCK_STEPS = 4000  # looks at words without any kernel ending

Normal = namedtuple("Normal", "")
Dispatch = namedtuple("Dispatch", "region hook output")  # output: awaited with it, to be written in place
Receive = namedtuple("Receive", "region output")
AwaitOutput = namedtuple("AwaitOutput", "output")
Combine = namedtuple("Combine", "output hook in_place")
Sum = namedtuple("Sum", "output")


class Broken(Exception):
    pass


def draw_programs(rng, num_ranks, num_outputs, most_open):
    """One list of kernels per rank: the same calls, received in another order on each."""
    programs = [[] for _ in range(num_ranks)]
    for _ in range(rng.randint(1, 7)):
        if rng.random() < 0.2:
            for program in programs:
                program.append(Normal())
            continue
        count = rng.randint(1, most_open)
        hook = rng.random() < 0.5
        in_place = rng.random() < 0.5
        turns = rng.choice([0, 1, 1, 2, 3])  # combines of each dispatch
        for program in programs:
            outputs = rng.sample(range(num_outputs), count)
            for i in range(count):
                with_it = not hook and in_place and turns > 0
                program.append(Dispatch(i, hook, outputs[i] if with_it else None))
            if hook:
                program.extend(Receive(i, None) for i in rng.sample(range(count), count))
            for turn in range(turns):
                if turn > 0:
                    outputs = rng.sample(range(num_outputs), count)
                for i in range(count):
                    if in_place and (hook or turn > 0):
                        program.append(AwaitOutput(outputs[i]))
                    program.append(Combine(outputs[i], hook, in_place))
                if hook:
                    program.extend(Sum(outputs[i]) for i in rng.sample(range(count), count))
    return programs


class Rank:
    def __init__(self, num_ranks, num_inboxes, num_outputs):
        def words(count):
            return [[0] * num_ranks for _ in range(count)]

        # What peers write here, [inbox or output][peer].
        self.emptied = words(num_inboxes)
        self.landed = words(num_inboxes)
        self.read = words(num_outputs)
        self.ready = words(num_outputs)
        # For the checks: rows that wait in a slot, and who has still to read an output.
        self.slots = [[None] * num_ranks for _ in range(num_inboxes)]
        self.unread = [set() for _ in range(num_outputs)]
        # Its own state.
        self.epoch = 0
        self.dispatches = 0
        self.normal_calls = 0
        self.inbox_epochs = [0] * num_inboxes
        self.output_epochs = [0] * num_outputs
        self.regions = {}
        self.to_publish = []  # (words of a peer, place, epoch)


class Group:
    def __init__(self, seed, without):
        self.rng = random.Random(seed)
        self.size = self.rng.choice([1, 2, 3, 4])
        self.num_inboxes = self.rng.choice([1, 2, 3])
        self.num_outputs = self.rng.choice([1, 2, 3])
        self.without = without
        self.ranks = [Rank(self.size, self.num_inboxes, self.num_outputs) for _ in range(self.size)]
        most_open = min(self.num_inboxes, self.num_outputs, 2)
        self.programs = draw_programs(self.rng, self.size, self.num_outputs, most_open)

    def run(self):
        position = [0] * self.size
        kernels = [None] * self.size
        looks = 0
        while True:
            live = [r for r in range(self.size) if position[r] < len(self.programs[r])]
            if not live:
                return
            r = self.rng.choice(live)
            if kernels[r] is None:
                kernels[r] = self.kernel(r, self.programs[r][position[r]])
            try:
                next(kernels[r])
                looks += 1
                if looks > STUCK_STEPS:
                    raise Broken("stuck")
            except StopIteration:
                kernels[r] = None
                position[r] += 1
                looks = 0

    def kernel(self, r, step):
        """A generator: each yield is one look at words that are not there yet, or a moment between steps."""
        rank = self.ranks[r]
        if isinstance(step, Normal):
            yield from self.normal(rank)
            return
        for words, place, epoch in rank.to_publish:
            words[place][r] = epoch
        rank.to_publish = []
        if isinstance(step, AwaitOutput):
            yield from self.await_readers(rank, step.output)
        elif isinstance(step, Dispatch):
            yield from self.send(r, step.region)
            if not step.hook:
                yield from self.receive(r, step.region, step.output)
        elif isinstance(step, Receive):
            yield from self.receive(r, step.region, step.output)
        elif isinstance(step, Combine):
            yield from self.publish_output(r, step)
            if not step.hook:
                yield from self.sum(r, step.output)
        else:
            yield from self.sum(r, step.output)

    def normal(self, rank):
        rank.normal_calls += 1
        while any(peer.normal_calls < rank.normal_calls for peer in self.ranks):
            yield
        rank.epoch += 1

    def await_readers(self, rank, output):
        if self.without == "read":
            return
        while any(word < rank.output_epochs[output] for word in rank.read[output]):
            yield

    def send(self, r, region):
        rank = self.ranks[r]
        epoch = rank.epoch + 1
        inbox = rank.dispatches % self.num_inboxes
        if self.without != "emptied":
            while any(word < rank.inbox_epochs[inbox] for word in rank.emptied[inbox]):
                yield
        for peer in self.ranks:
            if peer.slots[inbox][r] is not None:
                raise Broken("a slot was written before its rows were taken")
            peer.slots[inbox][r] = epoch
        yield
        rank.epoch = epoch
        rank.dispatches += 1
        rank.inbox_epochs[inbox] = epoch
        rank.regions[region] = (epoch, inbox)
        for peer in self.ranks:
            peer.landed[inbox][r] = epoch

    def receive(self, r, region, output):
        rank = self.ranks[r]
        epoch, inbox = rank.regions[region]
        while any(word != epoch for word in rank.landed[inbox]):
            if any(word > epoch for word in rank.landed[inbox]):
                raise Broken("a sender has overtaken")
            yield
        if output is not None:
            yield from self.await_readers(rank, output)
        for source in range(self.size):
            if rank.slots[inbox][source] != epoch:
                raise Broken("rows of another call were taken")
            rank.slots[inbox][source] = None
        rank.to_publish = [(peer.emptied, inbox, epoch) for peer in self.ranks]

    def publish_output(self, r, step):
        rank = self.ranks[r]
        epoch = rank.epoch + 1
        if not step.in_place:
            yield from self.await_readers(rank, step.output)
        if rank.unread[step.output]:
            raise Broken("an output was written before all had read it")
        rank.epoch = epoch
        rank.output_epochs[step.output] = epoch
        rank.unread[step.output] = set(range(self.size))
        for peer in self.ranks:
            peer.ready[step.output][r] = epoch
        yield
        rank.regions[("output", step.output)] = epoch

    def sum(self, r, output):
        rank = self.ranks[r]
        epoch = rank.regions[("output", output)]
        places = [None] * self.size
        while any(place is None for place in places):
            for peer in range(self.size):
                found = (o for o in range(self.num_outputs) if rank.ready[o][peer] == epoch)
                places[peer] = next(found, None)
            yield
        for peer, place in enumerate(places):
            self.ranks[peer].unread[place].discard(r)
        rank.to_publish = [(self.ranks[p].read, place, epoch) for p, place in enumerate(places)]


def first_broken(programs, without):
    for seed in range(programs):
        try:
            Group(seed, without).run()
        except Broken as broken:
            return f"program {seed}: {broken}"
    return None


def main():
    programs = int(sys.argv[1])
    status = 0
    whole = first_broken(programs, None)
    print(f"{programs} programs: {whole or 'all end, nothing was overwritten'}")
    status |= whole is not None
    for wait in ("emptied", "read"):
        found = first_broken(programs, wait)
        print(f"without the wait for '{wait}': {found or 'NOT FOUND OUT'}")
        status |= found is None
    return status


if __name__ == "__main__":
    sys.exit(main())
