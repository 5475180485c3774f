/** A simulated network: hosts, the links between them, and their names. */

import { SystemError } from '../../core/errors.ts';
import { checkArgument, checkOptions, duration, text, thing } from '../../core/options.ts';
import type { Rules } from '../../core/options.ts';
import type { Address } from '../addresses/address.ts';
import { hostName } from '../addresses/host-name.ts';
import { canonicalAddress } from '../addresses/ip-address.ts';
import { ENOENT } from '../system-calls.ts';
import { Link } from './link.ts';
import type { LinkOptions } from './link.ts';
import { addressList, HOST_RULES, isLoopback, SimulatedHost } from './simulated-host.ts';
import type { HostNetwork, HostOptions } from './simulated-host.ts';

/** How look-ups of a name are answered. */
export interface NameOptions {
  /** How long the answer takes, in milliseconds. */
  readonly delayMs?: number | undefined;
  /** The code of the error with which look-ups fail, such as `ENOTFOUND` or `EAI_AGAIN`. */
  readonly failure?: string | undefined;
}

export const NAME_RULES = {
  delayMs: duration,
  failure: thing(
    "the code of a system error, such as 'ENOTFOUND'",
    (value) => typeof value === 'string' && (/^E[A-Z_]+$/.test(value) || 'range'),
  ),
} satisfies Rules<NameOptions>;

/** The clock and timers of a network. */
export interface Clockwork {
  /** The virtual time in milliseconds. */
  now(): number;
  /**
   * Runs `task` after `ms` milliseconds of virtual time. `task` must not settle promises.
   * @returns a function that cancels it.
   */
  after(ms: number, task: () => void): () => void;
  /** Runs `task` at a moment of virtual time, or now if that is past. `task` must not settle promises. */
  at(moment: number, task: () => void): void;
  /** The same as `after`, for a task that may settle promises. */
  settleAfter(ms: number, task: () => void): () => void;
}

const canonical = (address: string): string => canonicalAddress(address) ?? address;

/** A network in memory. */
export class SimulatedNetwork implements HostNetwork {
  /** The link of a host to itself. */
  readonly loopback: Link;
  readonly #clockwork: Clockwork;
  readonly #linkOptions: LinkOptions;
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #links = new Map<string, Link>();
  readonly #names = new Map<string, { addresses: readonly string[]; options: NameOptions }>();

  /** @param link the options of all links. A single link can be changed later. */
  constructor(clockwork: Clockwork, link: LinkOptions = {}) {
    this.#clockwork = clockwork;
    this.#linkOptions = link;
    this.loopback = new Link(link);
  }

  /** Adds a host. Look-ups of its name find its addresses. */
  addHost(name: string, options: HostOptions = {}): SimulatedHost {
    checkArgument('addHost', 'the name', name, text);
    checkOptions('addHost', options, HOST_RULES);
    if (this.#hosts.has(name)) throw new RangeError(`the network already has a host named ${name}`);
    const addresses = options.addresses?.map(canonical) ?? [`10.0.0.${String(this.#hosts.size + 1)}`];
    const host = new SimulatedHost(name, this, { ...options, addresses });
    this.#hosts.set(name, host);
    this.name(name, addresses);
    return host;
  }

  /**
   * Sets the answer to look-ups of `name`.
   * @throws {TypeError | RangeError} when the name, an address or an option is not valid.
   */
  name(name: string, addresses: readonly string[], options: NameOptions = {}): void {
    checkArgument('name', 'the name', name, text);
    checkArgument('name', 'addresses', addresses, addressList);
    checkOptions('name', options, NAME_RULES);
    this.#names.set(hostName(name, 'the name'), { addresses: addresses.map(canonical), options });
  }

  /** The link between two hosts. It is created at the first call. */
  link(one: SimulatedHost, other: SimulatedHost): Link {
    if (one === other) return this.loopback;
    const key = [one.name, other.name].sort().join(' ');
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, (link = new Link(this.#linkOptions)));
    return link;
  }

  /**
   * @returns the host that `address` means on the host `from`, the link to it, and the address that connections come
   * from; `undefined` when no host has the address.
   */
  pathTo(from: SimulatedHost, address: string): { host: SimulatedHost; link: Link; from: string } | undefined {
    if (isLoopback(address) || from.addresses.includes(address))
      return { host: from, link: this.loopback, from: address };
    for (const host of this.#hosts.values()) {
      if (host.addresses.includes(address))
        return { host, link: this.link(from, host), from: from.addresses[0] ?? '0.0.0.0' };
    }
    return undefined;
  }

  /** The moment at which `bytes` bytes that a host sends now arrive over `link`. */
  arrivalTime(from: SimulatedHost, link: Link, bytes: number): number {
    return link.arrivalTime(from, bytes, this.#clockwork.now());
  }

  /** Runs `task` at `at`, or now if that is past; if the link is partitioned then, when it heals. */
  deliver(link: Link, at: number, task: () => void): void {
    this.#clockwork.at(at, () => {
      link.pass(task);
    });
  }

  after(ms: number, task: () => void): () => void {
    return this.#clockwork.after(ms, task);
  }

  /** Answers a look-up. */
  async lookUp(host: string, port: number, signal: AbortSignal): Promise<readonly Address[]> {
    const name = host.replace(/\.$/, '');
    const known =
      this.#names.get(name) ?? (name === 'localhost' ? { addresses: ['127.0.0.1'], options: {} } : undefined);
    await new Promise<void>((resolve) => {
      const cancel = this.#clockwork.settleAfter(known?.options.delayMs ?? 0, resolve);
      signal.addEventListener(
        'abort',
        () => {
          cancel();
          resolve();
        },
        { once: true },
      );
    });
    const failure = known === undefined ? 'ENOTFOUND' : known.options.failure;
    if (failure !== undefined) throw new SystemError(failure, ENOENT, 'getaddrinfo', 'the name has no address', host);
    return (known?.addresses ?? []).map((address) => ({
      family: address.includes(':') ? 'IPv6' : 'IPv4',
      host: address,
      port,
    }));
  }
}
