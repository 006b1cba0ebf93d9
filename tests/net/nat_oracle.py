#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# nat_oracle.py SEED SECONDS WORLD WORLD - the same packets through the kernel's masquerade and ours.
#
# How it works: WORLD is six words, the namespaces outside, red and blue, and for each of them the MAC
# addresses "TO,OWN"; the kernel's world comes first. Addresses are the same in both. Nobody in outside, red and blue answers but
# we, by packet sockets. A step sends packets in one world and then in the other, and takes what arrives
# at all three. We are on one CPU, so packets stay in their order: when the markers that are sent last
# have arrived, all else has. What arrived is written down without what a NAT may choose, the external
# port, which gets the name of the inside endpoint that it is for, and the identification; fragments are
# put together. The two have to be the same but for the differences that DIFFERENCES names and tells the
# reason of. Every checksum is made anew. Prints the seed, each step that differs, and how many of each
# kind there were. Exit status 0: no difference that is not known, and every kind has been.
import collections, ctypes, os, random, select, socket, struct, sys, time

HOST, OUTSIDE, GATEWAY = "203.0.113.1", "203.0.113.10", "192.168.15.1"
INSIDE = {"red": "192.168.15.11", "blue": "192.168.15.12"}
REMOTES = ["198.51.100.1", "198.51.100.2"]
POINTS = ["outside", "red", "blue"]
ICMP, IGMP, TCP, UDP = 1, 2, 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MARKER_PORT = 9

DIFFERENCES = {
    "filtered": "a mapped port, another remote: the kernel answers in the host's name, we are silent "
                "(RFC 5382 REQ-4)",
    "reset": "a reset of no connection: the kernel lets it out with its inside address, we drop it",
    "straight": "to an inside address, from the outside: the kernel forwards it, we do not",
}


# ---- Packets

def total(data):
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value


def pseudo(source, dest, protocol, length):
    return socket.inet_aton(source) + socket.inet_aton(dest) + struct.pack("!HH", protocol, length)


def ip(source, dest, protocol, data, ttl=64, fragment=0, number=0, tos=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(data), number, fragment, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(dest))
    return head[:10] + struct.pack("!H", ~total(head) & 0xffff) + head[12:] + data


def udp(source, dest, sport, dport, data, checksum=True):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    value = ~total(pseudo(source, dest, UDP, 8 + len(data)) + head + data) & 0xffff
    return head[:6] + struct.pack("!H", (value or 0xffff) if checksum else 0) + data


def tcp(source, dest, sport, dport, flags, seq, ack, data=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 65535, 0, 0)
    value = ~total(pseudo(source, dest, TCP, 20 + len(data)) + head + data) & 0xffff
    return head[:16] + struct.pack("!H", value) + head[18:] + data


def icmp(kind, code, rest, data):
    head = struct.pack("!BBHI", kind, code, 0, rest)
    return head[:2] + struct.pack("!H", ~total(head + data) & 0xffff) + head[4:] + data


def cut(packet, number, size):
    """An IP packet in fragments of so many bytes."""
    data, pieces = packet[20:], []
    source, dest = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    for at in range(0, len(data), size):
        more = 0x2000 if at + size < len(data) else 0
        pieces.append(ip(source, dest, packet[9], data[at:at + size], fragment=more | at // 8, number=number))
    return pieces


# ---- A world

class World:
    def __init__(self, name, names, macs):
        self.name, self.sockets, self.macs = name, {}, {}
        for point, space in zip(POINTS, names):
            self.sockets[point] = self.open(space)
        for point, pair in zip(POINTS, macs):
            self.macs[point] = bytes.fromhex(pair.replace(",", "").replace(":", ""))
        self.names, self.external, self.mapped = {}, {}, set()

    @staticmethod
    def open(space):
        own = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open("/run/netns/" + space, os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.setns(there, 0) == 0
        try:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            sock.bind(("eth0", 0x0800))
        finally:
            assert libc.setns(own, 0) == 0
            os.close(own)
            os.close(there)
        sock.setblocking(False)
        return sock

    def send(self, point, packet):
        self.sockets[point].send(self.macs[point] + b"\x08\x00" + packet)

    def receive(self, point):
        """What has arrived at a point, but for what hosts say of groups, which they do when they like."""
        packets = []
        while True:
            try:
                frame, address = self.sockets[point].recvfrom(65536)
            except BlockingIOError:
                return packets
            if address[2] != socket.PACKET_OUTGOING and frame[23] != IGMP:
                packets.append(frame[14:])

    def learn(self, flow, port):
        self.external[flow] = port
        self.mapped.add(port)
        self.names[flow[1], port, flow[3], flow[4]] = f"{flow[0]}:{flow[2]}"

    def port_of(self, flow):
        return self.external.get(flow, flow[2])

    def mark(self, number):
        """Waits until markers both ways have arrived. Returns what came before them."""
        text = b"marker %d" % number
        source, remote = INSIDE["red"], REMOTES[0]
        flow = ("red", UDP, MARKER_PORT, remote, MARKER_PORT)
        arrived, end = {point: [] for point in POINTS}, time.time() + 10
        self.send("red", ip(source, remote, UDP, udp(source, remote, MARKER_PORT, MARKER_PORT, text)))
        waiting = ["outside", "red"]
        while waiting:
            assert time.time() < end, f"{self.name}: the marker does not arrive at {waiting[0]}"
            point = waiting[0]
            select.select([self.sockets[point]], [], [], 0.2)
            for packet in self.receive(point):
                if not packet.endswith(text):
                    arrived[point].append(packet)
                elif point == "outside" and waiting[0] == "outside":
                    port = struct.unpack_from("!H", packet, 20)[0]
                    self.learn(flow, port)
                    self.send("outside", ip(remote, HOST, UDP, udp(remote, HOST, MARKER_PORT, port, text)))
                    waiting = ["red"]
                elif point == "red":
                    waiting = []
        for point in POINTS:
            arrived[point] += [packet for packet in self.receive(point) if not packet.endswith(text)]
        return arrived

    # ---- What arrived, in words

    def port_names(self, protocol, source, sport, dest, dport):
        """Both ports, the host's by the name of who has it towards this remote."""
        if source == HOST:
            return self.names.get((protocol, sport, dest, dport), sport), dport
        return sport, self.names.get((protocol, dport, source, sport), dport) if dest == HOST else dport

    def identifier(self, source, dest, number):
        """Of an echo or its reply."""
        remote = dest if source == HOST else source
        return self.names.get((ICMP, number, remote, 0), number) if HOST in (source, dest) else number

    def quote(self, packet):
        if len(packet) < 28:
            return "short quote"
        source, dest = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        protocol, ttl = packet[9], packet[8]
        sound = "sound" if total(packet[:20]) == 0xffff else "wrong"
        if protocol == ICMP:
            sport = dport = self.identifier(source, dest, struct.unpack_from("!H", packet, 24)[0])
        else:
            sport, dport = struct.unpack_from("!HH", packet, 20)
            sport, dport = self.port_names(protocol, source, sport, dest, dport)
        return f"[{source} {sport} {dest} {dport} protocol {protocol} ttl {ttl} {sound} {len(packet)} bytes]"

    def words(self, packet):
        source, dest = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
        length, protocol, data = struct.unpack_from("!H", packet, 2)[0], packet[9], packet[20:]
        data = data[:length - 20]
        sound = total(packet[:20]) == 0xffff
        text = f"{source} > {dest} ttl {packet[8]} tos {packet[1]} flags {packet[6] >> 5} {length} bytes: "
        if protocol == ICMP:
            kind, code, _, rest = struct.unpack_from("!BBHI", data)
            sound = sound and total(data) == 0xffff
            if kind in (0, 8):
                text += f"echo {kind} {self.identifier(source, dest, rest >> 16)} {rest & 0xffff} {data[8:].hex()}"
            else:
                text += f"error {kind} {code} {rest} {self.quote(data[8:])}"
        else:
            sport, dport = struct.unpack_from("!HH", data)
            sport, dport = self.port_names(protocol, source, sport, dest, dport)
            bare = protocol == UDP and data[6:8] == b"\0\0"
            sound = sound and (bare or total(pseudo(source, dest, protocol, len(data)) + data) == 0xffff)
            rest = "bare" if bare else "udp"
            if protocol == TCP:
                seq, ack, offset, flags = struct.unpack_from("!IIBB", data, 4)
                rest = f"tcp {seq} {ack} {offset} {flags}"
            text += f"{sport} > {dport} {rest} {hash(data[8 if protocol == UDP else 20:])}"
        return text + (" sound" if sound else " WRONG CHECKSUM")

    @staticmethod
    def whole(packets):
        """The packets with fragments put together; what is incomplete is left out."""
        done, parts = [], {}
        for packet in packets:
            fragment = struct.unpack_from("!H", packet, 6)[0]
            if not fragment & 0x3fff:
                done.append(packet)
                continue
            pieces = parts.setdefault(packet[4:6] + packet[9:10] + packet[12:20], {})
            pieces[(fragment & 0x1fff) * 8] = (packet, fragment & 0x2000)
            data, at = b"", 0
            while at in pieces:
                piece, more = pieces[at]
                data, at = data + piece[20:], at + len(piece) - 20
                if not more:
                    done.append(ip(socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20]),
                                   packet[9], data, ttl=packet[8], tos=packet[1]))
                    break
        return done


# ---- Steps: each is a list of (point, what makes the packet in a world), and the flow if it goes out

class Steps:
    def __init__(self, seed, worlds):
        self.worlds = worlds
        self.random, self.flows, self.connections, self.number = random.Random(seed), [], [], 0

    def data(self, low=0, high=1300):
        return self.random.randbytes(self.random.randint(low, high))

    def new_flow(self, protocol):
        # Few ports, so that hosts want the same ones.
        port = self.random.randint(2000, 2020) if protocol != TCP else self.random.randint(2000, 60000)
        return (self.random.choice(list(INSIDE)), protocol, port, self.random.choice(REMOTES),
                self.random.choice([53, 80, 8080]) if protocol != ICMP else 0)

    def known(self, protocol=None):
        flows = [flow for flow in self.flows if protocol in (None, flow[1])]
        return self.random.choice(flows) if flows else None

    def outward(self, flow, data, **how):
        who, protocol, port, remote, rport = flow
        source = INSIDE[who]
        if protocol == UDP:
            return ip(source, remote, UDP, udp(source, remote, port, rport, data), **how)
        return ip(source, remote, ICMP, icmp(8, 0, port << 16 | 7, data), **how)

    def inward(self, world, flow, data, remote=None, rport=None, **how):
        _, protocol, _, known, kport = flow
        remote, rport, port = remote or known, rport or kport, world.port_of(flow)
        if protocol == UDP:
            return ip(remote, HOST, UDP, udp(remote, HOST, rport, port, data), **how)
        return ip(remote, HOST, ICMP, icmp(0, 0, port << 16 | 7, data), **how)

    def opened(self, flow):
        if flow not in self.flows:
            self.flows.append(flow)
        return flow

    def do_out(self):
        flow = self.known() if self.random.random() < .5 else None
        if not flow or flow[1] == TCP:
            flow = self.new_flow(self.random.choice([UDP, UDP, ICMP]))
        data, tos = self.data(), self.random.choice([0, 0x10, 0xb8])
        return [(flow[0], lambda world: self.outward(flow, data, tos=tos))], self.opened(flow)

    def do_bare(self):
        flow, data = self.new_flow(UDP), self.data()
        source = INSIDE[flow[0]]
        packet = ip(source, flow[3], UDP, udp(source, flow[3], flow[2], flow[4], data, checksum=False))
        return [(flow[0], lambda world: packet)], self.opened(flow)

    def do_in(self):
        flow, data = self.known(self.random.choice([UDP, ICMP])), self.data()
        return flow and ([("outside", lambda world: self.inward(world, flow, data))], None)

    def do_filtered(self):
        flow = self.known(UDP)
        data, rport = self.data(), self.random.randint(10000, 20000)
        return flow and ([("outside", lambda world: self.inward(world, flow, data, rport=rport))], None)

    def unmapped(self):
        """A port that no flow has had in either world; otherwise it would be do_filtered()."""
        while True:
            port = self.random.randint(61000, 65000)
            if not any(port in world.mapped for world in self.worlds):
                return port

    def do_unsolicited(self):
        port, remote = self.unmapped(), self.random.choice(REMOTES)
        packet = self.random.choice([
            lambda: ip(remote, HOST, UDP, udp(remote, HOST, 80, port, b"?")),
            lambda: ip(remote, HOST, TCP, tcp(remote, HOST, 80, port, SYN, 1, 0)),
            lambda: ip(remote, HOST, TCP, tcp(remote, HOST, 80, port, ACK, 1, 1)),
            lambda: ip(remote, HOST, ICMP, icmp(8, 0, port << 16 | 1, b"ping")),
            lambda: ip(remote, HOST, ICMP, icmp(0, 0, port << 16 | 1, b"pong")),
        ])()
        return [("outside", lambda world: packet)], None

    def do_straight(self):
        remote, data = self.random.choice(REMOTES), self.data()
        packet = ip(remote, INSIDE["red"], UDP, udp(remote, INSIDE["red"], 80, 7777, data))
        return [("outside", lambda world: packet)], None

    def do_old_out(self):
        flow, data = self.known(UDP), self.data()
        return flow and ([(flow[0], lambda world: self.outward(flow, data, ttl=1))], None)

    def do_old_in(self):
        flow, data = self.known(UDP), self.data()
        return flow and ([("outside", lambda world: self.inward(world, flow, data, ttl=1))], None)

    def next_number(self):
        # Not at random: no host may use an identification again while fragments may be on their way
        # (RFC 6864, 4.1), and a NAT that does not put datagrams together relies on it.
        self.number = self.number % 65535 + 1
        return self.number

    def do_fragments(self):
        flow, data, outward = self.known(UDP), self.data(2000, 8000), self.random.random() < .5
        size, number = self.random.choice([800, 1024, 1400]), self.next_number()
        order = self.random.random()
        if not flow:
            return None

        def make(world):
            packet = self.outward(flow, data) if outward else self.inward(world, flow, data)
            pieces = cut(packet, number, size)
            random.Random(order).shuffle(pieces)
            return pieces
        return [(flow[0] if outward else "outside", make)], None

    def do_error_in(self):
        flow = self.known(self.random.choice([UDP, TCP, ICMP]))
        kind, code = self.random.choice([(3, 1), (3, 3), (3, 4), (11, 0), (12, 0)])
        router, length, rest = "192.0.2.99", self.random.choice([28, 36, 60]), 1280 if code == 4 else 0
        if not flow:
            return None

        def make(world):
            _, protocol, _, remote, rport = flow
            port = world.port_of(flow)
            data = {UDP: lambda: udp(HOST, remote, port, rport, b"x" * 40),
                    TCP: lambda: tcp(HOST, remote, port, rport, ACK, 1, 1, b"x" * 20),
                    ICMP: lambda: icmp(8, 0, port << 16 | 7, b"x" * 40)}[protocol]()
            return ip(router, HOST, ICMP, icmp(kind, code, rest, ip(HOST, remote, protocol, data, ttl=3)[:length]))
        return [("outside", make)], None

    def do_error_out(self):
        flow, length = self.known(UDP), self.random.choice([28, 40])
        if not flow:
            return None
        who, _, port, remote, rport = flow
        quoted = ip(remote, INSIDE[who], UDP, udp(remote, INSIDE[who], rport, port, b"y" * 30), ttl=5)
        packet = ip(INSIDE[who], remote, ICMP, icmp(3, 3, 0, quoted[:length]))
        return [(who, lambda world: packet)], None

    def do_midstream(self):
        """A segment of a connection that nobody has seen the beginning of."""
        flow, data = self.new_flow(TCP), self.data()
        who, _, port, remote, rport = flow
        if flow in self.flows:
            return None
        packet = ip(INSIDE[who], remote, TCP, tcp(INSIDE[who], remote, port, rport, ACK | PSH, 7, 7, data))
        return [(who, lambda world: packet)], self.opened(flow)

    def do_reset(self):
        """Of a connection that there is not."""
        who, _, _, remote, rport = self.new_flow(TCP)
        port = self.random.randint(61000, 65000)
        packet = ip(INSIDE[who], remote, TCP, tcp(INSIDE[who], remote, port, rport, RST, 7, 0))
        return [(who, lambda world: packet)], None

    def do_tcp(self):
        """The next segment of one of a few connections: handshake, data, and an end of either kind."""
        if len(self.connections) < 4:
            self.connections.append(self.connection())
        talk = self.random.choice(self.connections)
        try:
            return next(talk)
        except StopIteration:
            self.connections.remove(talk)
            return None

    def connection(self):
        flow = self.new_flow(TCP)
        who, _, port, remote, rport = flow
        at = {True: self.random.getrandbits(31), False: self.random.getrandbits(31)}

        def segment(outward, flags, data=b""):
            seq, ack = at[outward], at[not outward] if flags & ACK else 0
            at[outward] += len(data) + (1 if flags & (SYN | FIN) else 0)
            if outward:
                packet = ip(INSIDE[who], remote, TCP, tcp(INSIDE[who], remote, port, rport, flags, seq, ack, data))
                return [(who, lambda world: packet)], self.opened(flow)
            return [("outside", lambda world: ip(remote, HOST, TCP, tcp(
                remote, HOST, rport, world.port_of(flow), flags, seq, ack, data)))], None
        yield segment(True, SYN)
        yield segment(False, SYN | ACK)
        yield segment(True, ACK)
        for _ in range(self.random.randint(0, 6)):
            yield segment(self.random.random() < .5, ACK | PSH, self.data(1, 1200))
        first = self.random.random() < .5
        if self.random.random() < .3:
            yield segment(first, RST | ACK)
            return
        yield segment(first, FIN | ACK)
        yield segment(not first, ACK)
        yield segment(not first, FIN | ACK)
        yield segment(first, ACK)

    def next(self):
        kinds = [name for name in dir(self) if name.startswith("do_")]
        while True:
            kind = self.random.choice(kinds + ["do_out", "do_in", "do_tcp", "do_tcp", "do_tcp"])
            step = getattr(self, kind)()
            if step:
                return kind[3:], step


def run(world, step, number):
    """Sends a step, and tells what arrived where."""
    sends, flow = step
    for point, make in sends:
        packets = make(world)
        for packet in packets if isinstance(packets, list) else [packets]:
            world.send(point, packet)
    arrived = world.mark(number)
    arrived = {point: world.whole(packets) for point, packets in arrived.items()}
    for packet in arrived["outside"] if flow else []:
        if packet[12:16] == socket.inet_aton(HOST) and packet[9] == flow[1]:
            world.learn(flow, struct.unpack_from("!H", packet, 24 if flow[1] == ICMP else 20)[0])
    return {point: sorted(map(world.words, packets)) for point, packets in arrived.items()}


def known_difference(kind, kernel, ours):
    if kind == "filtered" and not any(ours.values()) and not kernel["red"] and not kernel["blue"] and \
            all(f"{HOST} > " in text and "error 3 3 " in text for text in kernel["outside"]):
        return "filtered"
    if kind == "straight" and not any(ours.values()) and kernel["red"] and not kernel["outside"]:
        return "straight"
    if kind == "reset" and not any(ours.values()) and not kernel["red"] and not kernel["blue"] and \
            all(text.startswith("192.168.15.") for text in kernel["outside"]):
        return "reset"
    return None


def main():
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    print(f"seed {seed}", flush=True)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    worlds = [World(name, words[:3], words[3:])
              for name, words in (("kernel", sys.argv[3:9]), ("ours", sys.argv[9:15]))]
    steps, faults = Steps(seed, worlds), 0
    counts, known, arrived = collections.Counter(), collections.Counter(), collections.Counter()
    end, number = time.time() + seconds, 0
    while time.time() < end and faults < 10:
        number += 1
        kind, step = steps.next()
        kernel, ours = (run(world, step, number) for world in worlds)
        counts[kind] += 1
        arrived.update({point: len(texts) for point, texts in ours.items()})
        wrong = [text for texts in ours.values() for text in texts if "WRONG" in text]
        if kernel == ours and not wrong:
            continue
        name = known_difference(kind, kernel, ours)
        if name and not wrong:
            known[name] += 1
            continue
        faults += 1
        print(f"step {number}, {kind}, flow {step[1]}:")
        for name, got in (("kernel", kernel), ("ours", ours)):
            for point, texts in got.items():
                for text in texts:
                    print(f"  {name}: at {point}: {text[:300]}")
    missing = [name[3:] for name in dir(steps) if name.startswith("do_") and not counts[name[3:]]]
    print(f"{number} steps, {faults} differ: " + ", ".join(f"{n} {k}" for k, n in sorted(counts.items())))
    print("arrived: " + ", ".join(f"{arrived[point]} at {point}" for point in POINTS))
    for name, count in known.items():
        print(f"known, {count} times: {DIFFERENCES[name]}")
    sys.exit(1 if faults or missing else 0)


main()
