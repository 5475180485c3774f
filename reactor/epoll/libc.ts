/**
 * All calls into the system: sockets, epoll, and the functions of libuv by which Node's event loop wakes the reactor.
 *
 * The functions come from the running process: nothing is compiled, and no other library is loaded. They are resolved
 * at first use, so that importing this file works on every platform.
 */

import { constants, lstatSync } from 'node:fs';

import koffi from 'koffi';

import { UnsupportedError } from '../../core/errors.ts';
import type { Address } from '../addresses/address.ts';
import type { SocketOptionName } from '../connections/socket-options.ts';
import { ENODEV } from '../system-calls.ts';
import type { PeerCredentials, SystemCalls } from '../system-calls.ts';
import { decodeAddress, encodeAddress } from './sockaddr.ts';

/** The calls of epoll(7) and of libuv's poll handle. Calls that can fail return a negative errno. */
export interface PollCalls {
  epollCreate(): number;
  /** Watches `fd` for both directions, edge-triggered. Each event carries `generation`. */
  epollAdd(epoll: number, fd: number, generation: number): number;
  epollRemove(epoll: number, fd: number): number;
  /** Fills `events` with up to `max` events of {@link EVENT_BYTES} each. Never waits. @returns the number of events. */
  epollWait(epoll: number, events: Uint8Array, max: number): number;
  /** Calls `wake` whenever `fd` is readable, from Node's event loop. */
  uvPoll(fd: number, wake: () => void): UvPoll;
  close(fd: number): number;
}

/** A poll handle in Node's event loop. */
export interface UvPoll {
  setRef(ref: boolean): void;
  close(): void;
}

/** The size of `struct epoll_event`: packed on x86-64 only. */
export const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
/** The offset of its data. */
export const EVENT_DATA = process.arch === 'x64' ? 4 : 8;

/** Bits of epoll(7), from `sys/epoll.h`. */
export const EPOLLIN = 0x1;
/** See {@link EPOLLIN}. */
export const EPOLLOUT = 0x4;
/** See {@link EPOLLIN}. */
export const EPOLLERR = 0x8;
/** See {@link EPOLLIN}. */
export const EPOLLHUP = 0x10;
/** See {@link EPOLLIN}. */
export const EPOLLRDHUP = 0x2000;
const EPOLLET = 0x80000000;

type Libc = SystemCalls & PollCalls;
let loaded: Libc | undefined;

/** @throws {UnsupportedError} on platforms without epoll. */
export function libc(): Libc {
  return (loaded ??= load());
}

function load(): Libc {
  if (process.platform !== 'linux')
    throw new UnsupportedError(`real sockets need Linux (epoll); on ${process.platform} use the simulated network`);
  const library = koffi.load(null);
  // The binding is untyped. Each declaration below states the types of one function.
  const func = <A extends unknown[], R>(prototype: string): ((...args: A) => R) => library.func(prototype);

  const socket = func<[number, number, number], number>('int socket(int, int, int)');
  const bind = func<[number, Uint8Array, number], number>('int bind(int, uint8_t*, uint)');
  const listen = func<[number, number], number>('int listen(int, int)');
  const connect = func<[number, Uint8Array, number], number>('int connect(int, uint8_t*, uint)');
  const accept4 = func<[number, Uint8Array, Uint32Array, number], number>('int accept4(int, uint8_t*, uint32_t*, int)');
  const recv = func<[number, Uint8Array, number, number], number>('long recv(int, uint8_t*, ulong, int)');
  const send = func<[number, Uint8Array, number, number], number>('long send(int, uint8_t*, ulong, int)');
  const shutdown = func<[number, number], number>('int shutdown(int, int)');
  const close = func<[number], number>('int close(int)');
  const setsockopt = func<[number, number, number, Int32Array, number], number>(
    'int setsockopt(int, int, int, int32_t*, uint)',
  );
  const getsockopt = func<[number, number, number, Int32Array, Uint32Array], number>(
    'int getsockopt(int, int, int, int32_t*, uint32_t*)',
  );
  const getsockname = func<[number, Uint8Array, Uint32Array], number>('int getsockname(int, uint8_t*, uint32_t*)');
  // ioctl is variadic. On x86-64 and arm64, its third argument is passed like a declared one.
  const ioctl = func<[number, number, Int32Array], number>('int ioctl(int, ulong, int32_t*)');
  const eventfd = func<[number, number], number>('int eventfd(uint, int)');
  const open = func<[string, number, number], number>('int open(const char*, int, uint)');
  const flock = func<[number, number], number>('int flock(int, int)');
  const unlink = func<[string], number>('int unlink(const char*)');
  const epollCreate1 = func<[number], number>('int epoll_create1(int)');
  const epollCtl = func<[number, number, number, Uint8Array | null], number>('int epoll_ctl(int, int, int, uint8_t*)');
  const epollWait = func<[number, Uint8Array, number, number], number>('int epoll_wait(int, uint8_t*, int, int)');

  const errno = (): number => -koffi.errno();
  const checked = (result: number): number => (result < 0 ? errno() : result);

  const name = new Uint8Array(SOCKADDR_BYTES);
  const nameLength = new Uint32Array(1);
  // As long as the largest option, struct ucred.
  const integers = new Int32Array(3);
  const integersLength = new Uint32Array(1);
  const event = new Uint8Array(EVENT_BYTES);
  const eventView = new DataView(event.buffer);

  const nameOf = (read: typeof getsockname, fd: number): Address | undefined => {
    nameLength[0] = SOCKADDR_BYTES;
    return read(fd, name, nameLength) < 0 ? undefined : decodeAddress(name, nameLength[0]);
  };
  const option = (fd: number, level: number, number: number): number => {
    integersLength[0] = integers.byteLength;
    return getsockopt(fd, level, number, integers, integersLength) < 0 ? errno() : 0;
  };
  const credentials = (fd: number): PeerCredentials | undefined => {
    if (option(fd, SOL_SOCKET, SO_PEERCRED) < 0) return undefined;
    const [pid = 0, uid = 0, gid = 0] = integers;
    // For other kinds of socket, the kernel returns process 0 and -1 for the ids.
    return pid === 0 && uid === -1 ? undefined : { pid, uid: uid >>> 0, gid: gid >>> 0 };
  };

  return {
    socket: (family) => checked(socket(FAMILIES[family], SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
    bind(fd, address) {
      const encoded = encodeAddress(address);
      return encoded === undefined ? -ENODEV : checked(bind(fd, encoded, encoded.length));
    },
    listen: (fd, backlog) => checked(listen(fd, backlog)),
    connect(fd, address) {
      const encoded = encodeAddress(address);
      return encoded === undefined ? -ENODEV : checked(connect(fd, encoded, encoded.length));
    },
    accept(fd, peer) {
      nameLength[0] = SOCKADDR_BYTES;
      const accepted = accept4(fd, name, nameLength, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (accepted < 0) return errno();
      peer.address = decodeAddress(name, nameLength[0]);
      return accepted;
    },
    recv(fd, into) {
      const count = recv(fd, into, into.length, 0);
      return count < 0 ? errno() : count;
    },
    send(fd, from) {
      const count = send(fd, from, from.length, MSG_NOSIGNAL);
      return count < 0 ? errno() : count;
    },
    shutdown: (fd, how) => checked(shutdown(fd, how)),
    close: (fd) => checked(close(fd)),
    setOption(fd, name, value) {
      const [level, number] = OPTIONS[name];
      // struct linger: on or off, and seconds.
      integers[0] = name === 'linger' ? Number(value >= 0) : value;
      integers[1] = Math.max(0, value);
      return checked(setsockopt(fd, level, number, integers, name === 'linger' ? 8 : 4));
    },
    option(fd, name) {
      const [level, number] = OPTIONS[name];
      const failed = option(fd, level, number);
      if (failed < 0) return failed;
      const [first = 0, second = 0] = integers;
      return name === 'linger' ? (first === 0 ? -1 : second) : first;
    },
    pendingError: (fd) => (option(fd, SOL_SOCKET, SO_ERROR) < 0 ? -errno() : (integers[0] ?? 0)),
    unacknowledged: (fd) => (ioctl(fd, SIOCOUTQ, integers) < 0 ? errno() : integers[0]),
    localAddress: (fd) => nameOf(getsockname, fd),
    peerCredentials: (fd) => credentials(fd),
    unlink: (path) => checked(unlink(path)),
    socketFile(path) {
      const file = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return file?.isSocket() === true
        ? { id: `${String(file.dev)}:${String(file.ino)}`, uid: Number(file.uid) }
        : undefined;
    },
    lock(path) {
      const fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600);
      if (fd < 0) return errno();
      if (flock(fd, LOCK_EX | LOCK_NB) === 0) return fd;
      const failure = errno();
      close(fd);
      return failure;
    },
    reserve: () => checked(eventfd(0, EFD_CLOEXEC)),

    epollCreate: () => checked(epollCreate1(EPOLL_CLOEXEC)),
    epollAdd(epoll, fd, generation) {
      eventView.setUint32(0, (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) >>> 0, true);
      eventView.setInt32(EVENT_DATA, fd, true);
      eventView.setUint32(EVENT_DATA + 4, generation, true);
      return checked(epollCtl(epoll, EPOLL_CTL_ADD, fd, event));
    },
    epollRemove: (epoll, fd) => checked(epollCtl(epoll, EPOLL_CTL_DEL, fd, event)),
    epollWait(epoll, events, max) {
      const count = epollWait(epoll, events, max, 0);
      return count < 0 ? errno() : count;
    },
    uvPoll: uvPollOf(library),
  };
}

function uvPollOf(library: ReturnType<typeof koffi.load>): PollCalls['uvPoll'] {
  const func = <A extends unknown[], R>(prototype: string): ((...args: A) => R) => library.func(prototype);
  const loop = func<[], number>('uintptr_t uv_default_loop()');
  const handleSize = func<[number], number>('ulong uv_handle_size(int)');
  const init = func<[number, Uint8Array, number], number>('int uv_poll_init(uintptr_t, uint8_t*, int)');
  const callback = koffi.pointer(koffi.proto('void (void*, int, int)'));
  const start = library.func('uv_poll_start', 'int', ['uint8_t*', 'int', callback]) as unknown as (
    handle: Uint8Array,
    events: number,
    call: unknown,
  ) => number;
  const uvClose = func<[Uint8Array, null], void>('void uv_close(uint8_t*, void*)');
  const ref = func<[Uint8Array], void>('void uv_ref(uint8_t*)');
  const unref = func<[Uint8Array], void>('void uv_unref(uint8_t*)');

  return (fd, wake) => {
    // libuv keeps the address, so the memory must not move, and must live until libuv has released the handle.
    const handle = Buffer.allocUnsafeSlow(handleSize(UV_POLL));
    const failed = init(loop(), handle, fd);
    if (failed < 0) throw new UnsupportedError(`uv_poll_init failed (${String(failed)})`);
    const call = koffi.register(wake, callback);
    alive.add(handle);
    const poll: ReturnType<PollCalls['uvPoll']> = {
      setRef(wanted) {
        if (wanted) ref(handle);
        else unref(handle);
      },
      close() {
        uvClose(handle, null);
        // libuv releases a closing handle at the end of the loop's present iteration. Two immediates are later than
        // that.
        setImmediate(() =>
          setImmediate(() => {
            koffi.unregister(call);
            alive.delete(handle);
          }),
        );
      },
    };
    const refused = start(handle, UV_READABLE, call);
    if (refused < 0) {
      poll.close();
      throw new UnsupportedError(`uv_poll_start failed (${String(refused)})`);
    }
    return poll;
  };
}

const alive = new Set<Uint8Array>();

// Linux: bits/socket.h, netinet/tcp.h, sys/epoll.h, sys/eventfd.h; libuv: uv.h. The same on x86-64 and arm64.
const FAMILIES = { unix: 1, IPv4: 2, IPv6: 10 } as const;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const EPOLL_CLOEXEC = 0o2000000;
const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
const O_CLOEXEC = 0o2000000;
// sys/file.h
const LOCK_EX = 2;
const LOCK_NB = 4;
const EFD_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_PEERCRED = 17;
// linux/sockios.h
const SIOCOUTQ = 0x5411;
const IPPROTO_TCP = 6;
const IPPROTO_IPV6 = 41;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const SOCKADDR_BYTES = 128;
const UV_POLL = 8;
const UV_READABLE = 1;
const OPTIONS: Record<SocketOptionName, readonly [level: number, number: number]> = {
  noDelay: [IPPROTO_TCP, 1],
  keepAlive: [SOL_SOCKET, 9],
  keepIdle: [IPPROTO_TCP, 4],
  keepInterval: [IPPROTO_TCP, 5],
  keepCount: [IPPROTO_TCP, 6],
  reuseAddress: [SOL_SOCKET, 2],
  reusePort: [SOL_SOCKET, 15],
  ipv6Only: [IPPROTO_IPV6, 26],
  sendBuffer: [SOL_SOCKET, 7],
  receiveBuffer: [SOL_SOCKET, 8],
  linger: [SOL_SOCKET, 13],
};
