#!/usr/bin/env python3
"""Normal mode across nodes, as a model with random programs, schedules and a network that orders nothing.

    internode_model.py PROGRAMS

2 to 4 nodes of one rank each (ranks of other numbers never meet over the network) make dispatches and combines,
whose receives come in another order on each rank, or in one kernel with the sending half, as each rank likes. Every
rank runs one kernel at a time, with several senders, forwarders, reducers or combiners at once; puts that they ask
for are done in any order, data before its own signal. Checked is that every program ends, that no place is filled
again before it was emptied, that what is taken is what was meant, and that each message arrives once. Then the same
without each of the waits, with forwarders that serve one source after the other, and with combiners that sum a token
before they have reduced what others may wait for, which must all be found out.
"""
import random
import sys
from collections import namedtuple

STUCK_STEPS = 6000  # steps without any warp getting on

Dispatch = namedtuple("Dispatch", "epoch")
Send = namedtuple("Send", "epoch output")
Receive = namedtuple("Receive", "epoch output")
Publish = namedtuple("Publish", "epoch output")
Both = namedtuple("Both", "epoch output")
Put = namedtuple("Put", "source place target slot data words key value")


class Broken(Exception):
    pass


class Rank:
    def __init__(self, nodes, outputs):
        self.entered = [0] * nodes  # last epoch in which a peer granted, or published outputs
        self.read = [[0] * nodes for _ in range(outputs)]
        self.signals = {}   # (source, place): (epoch, message)
        self.credits = {}   # (proxy, place): (epoch, message)
        self.incoming = {}  # (source, place): data, until forwarded
        self.outgoing = {}  # (node, message): data
        self.sums = {}      # (output, node, message): epoch, until summed
        self.returned = {}  # (output, node, message): epoch
        self.puts = []
        self.output_epochs = [0] * outputs
        self.places = {}  # (peer, epoch): output in which the peer published


class Group:
    def __init__(self, seed, without):
        rng = self.rng = random.Random(seed)
        self.without = without
        self.nodes = rng.choice([2, 2, 3, 4])
        self.staging = rng.choice([1, 1, 2, 3])
        self.num_outputs = 2
        self.claimed = {}  # tokens of a call that senders or combiners have taken beside their first
        self.senders = rng.choice([1, 2, 3])
        self.forwarders = self.nodes - 1 + rng.choice([0, 1, 3])
        self.combiners = self.nodes - 1 + rng.choice([0, 1, 3])
        self.combining = {}  # (rank, epoch): warps of its one kernel that have not ended
        self.ranks = [Rank(self.nodes, self.num_outputs) for _ in range(self.nodes)]
        self.draw_programs()
        # messages[s][t]: number of token t's message to each node; totals[s][n]
        self.messages, self.totals = [], []
        for s in range(self.nodes):
            totals = [0] * self.nodes
            table = []
            for _ in range(rng.choice([0, 1, 4, 9])):
                row = [None] * self.nodes
                for node in range(self.nodes):
                    if node != s and rng.random() < 0.8:
                        row[node] = totals[node]
                        totals[node] += 1
                table.append(row)
            self.messages.append(table)
            self.totals.append(totals)
        self.forwarded = set()

    def draw_programs(self):
        rng = self.rng
        self.programs = [[] for _ in range(self.nodes)]
        self.dispatches = []
        epoch = 0
        for _ in range(rng.randint(1, 4)):
            if rng.random() < 0.6:
                epoch += 1
                self.dispatches.append(epoch)
                for program in self.programs:
                    program.append(Dispatch(epoch))
                continue
            count = rng.randint(1, self.num_outputs)
            epochs = [epoch + 1 + i for i in range(count)]
            epoch += count
            for program in self.programs:
                outputs = rng.sample(range(self.num_outputs), count)
                pairs = list(zip(epochs, outputs))
                if rng.random() < 0.5:
                    program.extend(step for e, o in pairs for step in (Publish(e, o), Both(e, o)))
                    continue
                program.extend(Send(e, o) for e, o in pairs)
                program.extend(Receive(e, o) for e, o in rng.sample(pairs, count))

    # --- the schedule

    def run(self):
        position = [0] * self.nodes
        warps = [None] * self.nodes
        idle = 0
        while True:
            choices = [r for r in range(self.nodes) if position[r] < len(self.programs[r]) or self.ranks[r].puts]
            if not choices:
                break
            r = self.rng.choice(choices)
            rank = self.ranks[r]
            if rank.puts and self.rng.random() < 0.5:
                self.do(rank, rank.puts.pop(self.rng.randrange(len(rank.puts))))
                idle = 0
                continue
            if position[r] == len(self.programs[r]):
                continue
            if warps[r] is None:
                warps[r] = self.launch(r, self.programs[r][position[r]])
            if warps[r]:
                warp = self.rng.choice(warps[r])
                try:
                    idle = 0 if next(warp) else idle + 1
                except StopIteration:
                    warps[r].remove(warp)
                    idle = 0
            if not warps[r] and (not rank.puts or self.without == "drain"):
                warps[r] = None
                position[r] += 1
            if idle > STUCK_STEPS:
                raise Broken("stuck")
        wanted = {(e, s, n, m) for e in self.dispatches for s in range(self.nodes)
                  for n in range(self.nodes) for m in range(self.totals[s][n])}
        if self.forwarded != wanted:
            raise Broken("messages were lost")

    def do(self, rank, put):
        if put.place is not None and rank.outgoing.get(put.place) != put.data:
            raise Broken("a source changed before its put was done")
        if put.slot is not None:
            if put.slot in put.target:
                raise Broken("a place was filled before it was emptied")
            put.target[put.slot] = put.data
        put.words[put.key] = put.value

    # --- kernels: lists of warps; each yield says whether the warp got on

    def launch(self, r, step):
        rank = self.ranks[r]
        if isinstance(step, Dispatch):
            for peer in self.ranks:
                peer.entered[r] = max(peer.entered[r], step.epoch)
            warps = [self.sender(r, step.epoch, w) for w in range(self.senders)]
            return warps + [self.forwarder(r, step.epoch, w) for w in range(self.forwarders)]
        if isinstance(step, Send):
            return [self.reducer(r, step)]
        if isinstance(step, Publish):
            return [self.publisher(r, step)]
        if isinstance(step, Both):
            self.combining[r, step.epoch] = self.combiners
            return [self.combiner(r, step, w) for w in range(self.combiners)]
        return [self.summer(r, step)]

    def await_entered(self, r, epoch):
        while any(e < epoch for e in self.ranks[r].entered):
            yield False

    def sender(self, r, epoch, first):
        rank = self.ranks[r]
        if self.without != "grant":
            yield from self.await_entered(r, epoch)
        token = first
        while token < len(self.messages[r]):
            # Claimed before this one is sent, by whoever is free.
            claimed = self.claim(r, epoch, self.senders)
            for node, message in enumerate(self.messages[r][token]):
                if message is None:
                    continue
                data = (epoch, r, message)
                rank.outgoing[node, message] = data
                yield True
                place = message % self.staging
                if message >= self.staging and self.without != "credit":
                    while rank.credits.get((node, place)) != (epoch, message - self.staging):
                        yield False
                peer = self.ranks[node]
                rank.puts.append(Put(rank, (node, message), peer.incoming, (r, place), data, peer.signals,
                                     (r, place), (epoch, message)))
                yield True
            token = claimed

    def forwarder(self, r, epoch, worker):
        others = [n for n in range(self.nodes) if n != r]
        yield from self.await_entered(r, epoch)
        if self.without == "own warps":
            for i in range(1, self.nodes):
                yield from self.forward(r, epoch, (r + i) % self.nodes, worker, self.forwarders)
            return
        index = worker % len(others)
        step = (self.forwarders - index + len(others) - 1) // len(others)
        yield from self.forward(r, epoch, others[index], worker // len(others), step)

    def forward(self, r, epoch, source, first, step):
        rank = self.ranks[r]
        total = self.totals[source][r]
        for message in range(first, total, step):
            place = message % self.staging
            while rank.signals.get((source, place)) != (epoch, message):
                yield False
            if rank.incoming[source, place] != (epoch, source, message):
                raise Broken("what was taken is of another message")
            yield True
            del rank.incoming[source, place]
            self.forwarded.add((epoch, source, r, message))
            if message + self.staging < total:
                peer = self.ranks[source]
                rank.puts.append(Put(rank, None, None, None, None, peer.credits, (r, place), (epoch, message)))
            yield True

    def publisher(self, r, step):
        rank = self.ranks[r]
        while any(word < rank.output_epochs[step.output] for word in rank.read[step.output]):
            yield False
        rank.output_epochs[step.output] = step.epoch
        for peer in self.ranks:
            peer.entered[r] = max(peer.entered[r], step.epoch)
            peer.places[r, step.epoch] = step.output
        yield True
        yield from self.await_entered(r, step.epoch)

    def reducer(self, r, step):
        yield from self.publisher(r, step)
        for source in range(self.nodes):
            for message in range(self.totals[source][r] if source != r else 0):
                self.reduce(r, step, source, message)
                yield True

    # The next token of a call that no warp has; each has one of its own.
    def claim(self, r, epoch, warps):
        claimed = self.claimed.get((r, epoch), 0)
        self.claimed[r, epoch] = claimed + 1
        return warps + claimed

    def reduce(self, r, step, source, message):
        rank, peer = self.ranks[r], self.ranks[source]
        output = rank.places[source, step.epoch]
        data = (step.epoch, r, message)
        rank.outgoing[source, message] = data
        rank.puts.append(Put(rank, (source, message), peer.sums, (output, r, message), data, peer.returned,
                             (output, r, message), step.epoch))

    def summer(self, r, step):
        for token in range(len(self.messages[r])):
            yield from self.sum(r, step, token)
        self.publish_read(r, step)

    def sum(self, r, step, token):
        rank = self.ranks[r]
        for node, message in enumerate(self.messages[r][token]):
            if message is None:
                continue
            key = step.output, node, message
            while self.without != "returned" and rank.returned.get(key) != step.epoch:
                yield False
            if rank.sums.pop(key, None) != (step.epoch, node, message):
                raise Broken("a sum was taken before it was there")
            yield True

    def publish_read(self, r, step):
        for peer in range(self.nodes):
            self.ranks[peer].read[self.ranks[r].places[peer, step.epoch]][r] = step.epoch

    # Reduces messages of one source, and sums a token when those of its number are done.
    def combiner(self, r, step, warp):
        others = [n for n in range(self.nodes) if n != r]
        index = warp % len(others)
        source = others[index]
        share = list(range(warp // len(others), self.totals[source][r],
                           (self.combiners - index + len(others) - 1) // len(others)))
        token = warp
        while token < len(self.messages[r]):
            claimed = self.claim(r, step.epoch, self.combiners)
            while share and share[0] <= token and self.without != "numbers":
                self.reduce(r, step, source, share.pop(0))
                yield True
            yield from self.sum(r, step, token)
            token = claimed
        for message in share:
            self.reduce(r, step, source, message)
            yield True
        self.combining[r, step.epoch] -= 1
        if self.combining[r, step.epoch] == 0:
            self.publish_read(r, step)


def first_broken(programs, without):
    for seed in range(programs):
        try:
            Group(seed, without).run()
        except Broken as broken:
            return f"program {seed}: {broken}"
    return None


def main():
    programs = int(sys.argv[1])
    whole = first_broken(programs, None)
    print(f"{programs} programs: {whole or 'all end, nothing was lost or overwritten'}")
    status = whole is not None
    for without in ("grant", "credit", "returned", "drain", "own warps", "numbers"):
        found = first_broken(programs, without)
        print(f"without '{without}': {found or 'NOT FOUND OUT'}")
        status |= found is None
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
