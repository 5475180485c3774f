/**
 * A host of a simulated network: its kernel, behind the interface that a reactor uses. Long because it has a method for
 * each system call.
 */

import { resolve } from 'node:path';

import { count, countOrNone, listOf, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import { formatAddress } from '../addresses/address.ts';
import type { Address } from '../addresses/address.ts';
import { canonicalAddress } from '../addresses/ip-address.ts';
import type { SocketOptionName } from '../connections/socket-options.ts';
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  EALREADY,
  EBADF,
  ECONNREFUSED,
  ECONNRESET,
  EINPROGRESS,
  EINVAL,
  EISCONN,
  EMFILE,
  ENOENT,
  ENOTCONN,
  ETIMEDOUT,
} from '../system-calls.ts';
import type { PeerCredentials, SocketFile, SystemCalls } from '../system-calls.ts';
import { Endpoint } from './endpoint.ts';
import type { Link } from './link.ts';
import { SimulatedSelector } from './simulated-selector.ts';

/** The options of a host. */
export interface HostOptions {
  /** The addresses of the host, except its loopback addresses. */
  readonly addresses?: readonly string[] | undefined;
  /** How many descriptors its process may have open; no limit by default. */
  readonly descriptors?: number | undefined;
  /** The sizes of the kernel's buffers for each new socket, in bytes; 64 KiB by default. */
  readonly sendBuffer?: number | undefined;
  readonly receiveBuffer?: number | undefined;
}

/** The rule for an option that takes the addresses of a host. */
export const addressList = listOf(
  thing(
    'an IPv4 or IPv6 address',
    (value) => typeof value === 'string' && (canonicalAddress(value) !== undefined || 'range'),
  ),
);
export const HOST_RULES = {
  addresses: addressList,
  descriptors: countOrNone(0),
  sendBuffer: count(1),
  receiveBuffer: count(1),
} satisfies Rules<HostOptions>;

/** The part of the network that its hosts use. */
export interface HostNetwork {
  /** The link of a host to itself. */
  readonly loopback: Link;
  /**
   * @returns the host that `address` means on the host `from`, the link to it, and the address that connections come
   * from; `undefined` when no host has the address.
   */
  pathTo(from: SimulatedHost, address: string): { host: SimulatedHost; link: Link; from: string } | undefined;
  /** The moment at which `bytes` bytes that a host sends now arrive over `link`. */
  arrivalTime(from: SimulatedHost, link: Link, bytes: number): number;
  /** Runs `task` at `at`, or now if that is past; if the link is partitioned then, when it heals. */
  deliver(link: Link, at: number, task: () => void): void;
  /** Runs `task` after `ms` milliseconds of virtual time. @returns a function that cancels it. */
  after(ms: number, task: () => void): () => void;
}

/** The kernel of one host: descriptors, ports, and the calls on them. It returns the same errors as Linux. */
export class SimulatedHost implements SystemCalls {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly selector: SimulatedSelector;
  /** How many descriptors may be open. A change does not close any. */
  descriptorLimit: number;

  readonly #network: HostNetwork;
  readonly #buffers: { send: number; receive: number };
  readonly #endpoints = new Map<number, Endpoint | undefined>();
  readonly #ports = new Map<string, Endpoint>();
  /** The files of Unix sockets and of locks, by absolute path. A lock has no endpoint. */
  readonly #files = new Map<
    string,
    { readonly id: string; readonly endpoint: Endpoint | undefined; lockedBy: number | undefined }
  >();
  #fileIds = 0;
  #nextPort = 32_768;

  constructor(name: string, network: HostNetwork, options: HostOptions) {
    const { addresses = [], descriptors = Infinity, sendBuffer = BUFFER, receiveBuffer = BUFFER } = options;
    this.name = name;
    this.addresses = addresses;
    this.#network = network;
    this.descriptorLimit = descriptors;
    this.#buffers = { send: sendBuffer, receive: receiveBuffer };
    this.selector = new SimulatedSelector((fd) => this.#endpoints.get(fd)?.readiness ?? 0);
  }

  /** How many descriptors are open. */
  get openDescriptors(): number {
    return this.#endpoints.size;
  }

  socket(family: Address['family']): number {
    return this.#open((fd) => new Endpoint(fd, family, this, this.#buffers));
  }

  reserve(): number {
    return this.#open(() => undefined);
  }

  bind(fd: number, address: Address): number {
    const endpoint = this.#endpoints.get(fd);
    if (endpoint === undefined) return -EBADF;
    if (address.family !== 'unix' && !this.#isOwn(address.host)) return -EADDRNOTAVAIL;
    const bound =
      address.family !== 'unix' && address.port === 0 ? { ...address, port: this.#freePort(address.host) } : address;
    if (this.#listenerAt(bound) !== undefined) return -EADDRINUSE;
    if (hasFile(bound)) {
      if (this.#files.has(resolve(bound.path))) return -EADDRINUSE;
      this.#files.set(resolve(bound.path), { id: String(++this.#fileIds), endpoint, lockedBy: undefined });
    }
    endpoint.local = bound;
    return 0;
  }

  listen(fd: number, backlog: number): number {
    const endpoint = this.#endpoints.get(fd);
    if (endpoint?.local === undefined) return -EINVAL;
    endpoint.state = 'listening';
    // Linux lets one more connection wait than the backlog says.
    endpoint.backlogLimit = backlog + 1;
    if (!hasFile(endpoint.local)) this.#ports.set(keyOf(endpoint.local), endpoint);
    return 0;
  }

  connect(fd: number, given: Address): number {
    // A zone distinguishes the links of one host. Here, each pair of hosts has only one link.
    const address = given.family === 'unix' ? given : { ...given, host: given.host.replace(/%.*/, '') };
    const endpoint = this.#endpoints.get(fd);
    if (endpoint === undefined) return -EBADF;
    if (endpoint.state === 'connecting') return -EALREADY;
    if (endpoint.state === 'connected') return -EISCONN;
    if (address.family === 'unix') return this.#connectUnix(endpoint, address);
    const path = this.#network.pathTo(this, address.host);
    endpoint.remote = address;
    endpoint.state = 'connecting';
    endpoint.local ??= { family: address.family, host: path?.from ?? '0.0.0.0', port: this.#nextPort++ };
    endpoint.cancelTimeout = this.#network.after(SYN_RETRY_MS * (2 ** (SYN_RETRIES + 1) - 1), () => {
      if (endpoint.state === 'connecting') endpoint.fail(ETIMEDOUT);
    });
    // Without a host at the address, there is no answer, and the connect times out.
    if (path !== undefined) this.#sendSyn(endpoint, path.host, path.link, address, 0);
    return -EINPROGRESS;
  }

  accept(fd: number, peer: { address?: Address | undefined }): number {
    const listener = this.#endpoints.get(fd);
    if (listener?.state !== 'listening') return -EINVAL;
    const [waiting] = listener.backlog;
    if (waiting === undefined) return -EAGAIN;
    const accepted = this.#open((number) => {
      waiting.fd = number;
      return waiting;
    });
    if (accepted < 0) return accepted;
    listener.backlog.shift();
    peer.address = waiting.remote;
    return accepted;
  }

  recv(fd: number, into: Uint8Array): number {
    return this.#endpoints.get(fd)?.recv(into) ?? -EBADF;
  }

  send(fd: number, from: Uint8Array): number {
    return this.#endpoints.get(fd)?.send(from) ?? -EBADF;
  }

  shutdown(fd: number, how: 0 | 1 | 2): number {
    if (how === 0) return 0;
    return this.#endpoints.get(fd)?.shutdown() ?? -ENOTCONN;
  }

  close(fd: number): number {
    if (!this.#endpoints.has(fd)) return -EBADF;
    const endpoint = this.#endpoints.get(fd);
    this.#endpoints.delete(fd);
    if (endpoint?.state === 'listening' && endpoint.local !== undefined) this.#ports.delete(keyOf(endpoint.local));
    for (const file of this.#files.values()) if (file.lockedBy === fd) file.lockedBy = undefined;
    endpoint?.close();
    return 0;
  }

  setOption(fd: number, name: SocketOptionName, value: number): number {
    const endpoint = this.#endpoints.get(fd);
    if (endpoint === undefined) return -EBADF;
    if (name === 'sendBuffer' || name === 'receiveBuffer') endpoint.setLimit(name, Math.max(1, value));
    else endpoint.options.set(name, value);
    return 0;
  }

  option(fd: number, name: SocketOptionName): number {
    const endpoint = this.#endpoints.get(fd);
    if (endpoint === undefined) return -EBADF;
    if (name === 'sendBuffer' || name === 'receiveBuffer') return endpoint.limit(name);
    return endpoint.options.get(name) ?? (name === 'linger' ? -1 : 0);
  }

  pendingError(fd: number): number {
    return this.#endpoints.get(fd)?.takeError() ?? EBADF;
  }

  unacknowledged(fd: number): number {
    return this.#endpoints.get(fd)?.unacknowledged ?? -EBADF;
  }

  localAddress(fd: number): Address | undefined {
    return this.#endpoints.get(fd)?.local;
  }

  /** All programs of a host count as one process of one user. */
  peerCredentials(fd: number): PeerCredentials | undefined {
    return this.#endpoints.get(fd)?.family === 'unix'
      ? { pid: process.pid, uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
      : undefined;
  }

  unlink(path: string): number {
    return this.#files.delete(resolve(path)) ? 0 : -ENOENT;
  }

  socketFile(path: string): SocketFile | undefined {
    const file = this.#files.get(resolve(path));
    return file?.endpoint === undefined ? undefined : { id: file.id, uid: process.geteuid?.() ?? 0 };
  }

  lock(path: string): number {
    const file = this.#files.get(resolve(path)) ?? {
      id: String(++this.#fileIds),
      endpoint: undefined,
      lockedBy: undefined,
    };
    if (file.lockedBy !== undefined) return -EAGAIN;
    const fd = this.reserve();
    if (fd < 0) return fd;
    this.#files.set(resolve(path), file);
    file.lockedBy = fd;
    return fd;
  }

  /** Called when an endpoint has become ready. @internal */
  ready(endpoint: Endpoint, readiness: number): void {
    if (this.#endpoints.get(endpoint.fd) === endpoint) this.selector.report(endpoint.fd, readiness);
  }

  /** @internal */
  arrivalTime(link: Link, bytes: number): number {
    return this.#network.arrivalTime(this, link, bytes);
  }

  /** @internal */
  deliver(link: Link, at: number, task: () => void): void {
    this.#network.deliver(link, at, task);
  }

  #open(make: (fd: number) => Endpoint | undefined): number {
    if (this.#endpoints.size >= this.descriptorLimit) return -EMFILE;
    let fd = FIRST_DESCRIPTOR;
    // The lowest free number, as in a real kernel. So numbers are reused soon, and tests find stale events that reach
    // the new owner of a number.
    while (this.#endpoints.has(fd)) fd++;
    this.#endpoints.set(fd, make(fd));
    return fd;
  }

  #connectUnix(endpoint: Endpoint, address: Address): number {
    const listener = this.#listenerAt(address);
    if (listener === undefined)
      return hasFile(address) && !this.#files.has(resolve(address.path)) ? -ENOENT : -ECONNREFUSED;
    if (listener.backlog.length >= listener.backlogLimit) return -EAGAIN;
    endpoint.remote = address;
    this.#welcome(endpoint, this, listener, this.#network.loopback);
    return 0;
  }

  /** Sends the first segment of a connection, and repeats it while the backlog is full. */
  #sendSyn(endpoint: Endpoint, host: SimulatedHost, link: Link, address: Address, tries: number): void {
    this.#afterLatency(link, () => {
      if (endpoint.state !== 'connecting') return;
      const listener = host.#listenerAt(address);
      if (listener === undefined) {
        this.#afterLatency(link, () => {
          if (endpoint.state === 'connecting') endpoint.fail(ECONNREFUSED);
        });
        return;
      }
      if (listener.backlog.length >= listener.backlogLimit) {
        this.#network.after(SYN_RETRY_MS * 2 ** tries, () => {
          if (endpoint.state !== 'connecting') return;
          this.#sendSyn(endpoint, host, link, address, tries + 1);
        });
        return;
      }
      this.#welcome(endpoint, host, listener, link);
    });
  }

  #welcome(client: Endpoint, host: SimulatedHost, listener: Endpoint, link: Link): void {
    const server = new Endpoint(UNACCEPTED, client.family, host, host.#buffers);
    server.local = listener.local;
    server.remote = client.local ?? { family: 'unix', path: '' };
    server.join(client, link);
    listener.backlog.push(server);
    host.ready(listener, listener.readiness);
    if (client.family === 'unix') {
      client.join(server, link);
      return;
    }
    this.#afterLatency(link, () => {
      // A client that no longer connects answers with a reset.
      if (client.state !== 'connecting') {
        server.fail(ECONNRESET);
        return;
      }
      client.join(server, link);
      client.connected();
    });
  }

  /** Runs `task` when a segment without data that leaves now has arrived. */
  #afterLatency(link: Link, task: () => void): void {
    this.deliver(link, this.arrivalTime(link, 0), task);
  }

  #listenerAt(address: Address): Endpoint | undefined {
    if (hasFile(address)) {
      // The file may outlive its socket.
      const endpoint = this.#files.get(resolve(address.path))?.endpoint;
      return endpoint?.state === 'listening' && this.#endpoints.get(endpoint.fd) === endpoint ? endpoint : undefined;
    }
    if (address.family === 'unix') return this.#ports.get(keyOf(address));
    return (
      this.#ports.get(keyOf(address)) ??
      this.#ports.get(keyOf({ ...address, host: address.family === 'IPv6' ? '::' : '0.0.0.0' }))
    );
  }

  #isOwn(host: string): boolean {
    return isLoopback(host) || host === '0.0.0.0' || host === '::' || this.addresses.includes(host);
  }

  #freePort(host: string): number {
    while (this.#listenerAt({ family: host.includes(':') ? 'IPv6' : 'IPv4', host, port: this.#nextPort }) !== undefined)
      this.#nextPort++;
    return this.#nextPort++;
  }
}

const keyOf = (address: Address): string => (address.family === 'unix' ? address.path : formatAddress(address));

/** Whether `address` has a file. Abstract names have none. */
function hasFile(address: Address): address is Address & { family: 'unix' } {
  return address.family === 'unix' && !address.path.startsWith('\0');
}

/** Whether `host` is a loopback address, which means the host itself on every host. */
export function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1';
}

const BUFFER = 64 * 1024;
const FIRST_DESCRIPTOR = 3;
const UNACCEPTED = -1;
// Linux: TCP_TIMEOUT_INIT is one second and doubles; tcp_syn_retries is 6.
const SYN_RETRY_MS = 1_000;
const SYN_RETRIES = 6;
