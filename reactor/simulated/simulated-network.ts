/** Hosts, the links between them, and the names by which they find each other. */

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

/** How a name is answered. */
export interface NameOptions {
  /** How long the answer takes, in milliseconds. */
  readonly delayMs?: number | undefined;
  /** The system's name for a failure, such as `ENOTFOUND` or `EAI_AGAIN`, instead of addresses. */
  readonly failure?: string | undefined;
}

export const NAME_RULES = {
  delayMs: duration,
  failure: thing(
    "the system's name for a failure, such as 'ENOTFOUND'",
    (value) => typeof value === 'string' && (/^E[A-Z_]+$/.test(value) || 'range'),
  ),
} satisfies Rules<NameOptions>;

/** The clockwork that a network runs on. */
export interface Clockwork {
  /** Virtual milliseconds. */
  now(): number;
  /** Runs `task` after `ms` of virtual time; it must not settle promises. @returns how to cancel it. */
  after(ms: number, task: () => void): () => void;
  /** The same for a task that settles promises. */
  settleAfter(ms: number, task: () => void): () => void;
}

const canonical = (address: string): string => canonicalAddress(address) ?? address;

/** A network in memory. */
export class SimulatedNetwork implements HostNetwork {
  /** The path of a host to itself. */
  readonly loopback: Link;
  readonly #clockwork: Clockwork;
  readonly #linkOptions: LinkOptions;
  readonly #hosts = new Map<string, SimulatedHost>();
  readonly #links = new Map<string, Link>();
  readonly #names = new Map<string, { addresses: readonly string[]; options: NameOptions }>();

  /** @param link how links behave that are not set apart. */
  constructor(clockwork: Clockwork, link: LinkOptions = {}) {
    this.#clockwork = clockwork;
    this.#linkOptions = link;
    this.loopback = new Link(link);
  }

  /** Adds a host. Its name is found by look-ups, with its addresses. */
  addHost(name: string, options: HostOptions = {}): SimulatedHost {
    checkArgument('addHost', 'the name', name, text);
    checkOptions('addHost', options, HOST_RULES);
    if (this.#hosts.has(name)) throw new RangeError(`there is a host named ${name} already`);
    const addresses = options.addresses?.map(canonical) ?? [`10.0.0.${String(this.#hosts.size + 1)}`];
    const host = new SimulatedHost(name, this, { ...options, addresses });
    this.#hosts.set(name, host);
    this.name(name, addresses);
    return host;
  }

  /**
   * Sets what a look-up of `name` finds.
   * @throws {TypeError | RangeError} for what is no name, no address, or an unknown option.
   */
  name(name: string, addresses: readonly string[], options: NameOptions = {}): void {
    checkArgument('name', 'the name', name, text);
    checkArgument('name', 'addresses', addresses, addressList);
    checkOptions('name', options, NAME_RULES);
    this.#names.set(hostName(name, 'the name'), { addresses: addresses.map(canonical), options });
  }

  /** The link between two hosts, made when first asked for. */
  link(one: SimulatedHost, other: SimulatedHost): Link {
    if (one === other) return this.loopback;
    const key = [one.name, other.name].sort().join(' ');
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, (link = new Link(this.#linkOptions)));
    return link;
  }

  /** @returns the host that has an address, seen from another host; `undefined` when nobody has it. */
  pathTo(from: SimulatedHost, address: string): { host: SimulatedHost; link: Link; from: string } | undefined {
    if (isLoopback(address) || from.addresses.includes(address))
      return { host: from, link: this.loopback, from: address };
    for (const host of this.#hosts.values()) {
      if (host.addresses.includes(address))
        return { host, link: this.link(from, host), from: from.addresses[0] ?? '0.0.0.0' };
    }
    return undefined;
  }

  /** Runs `task` when `bytes` from a host have come over `link`, or when its partition heals. */
  carry(from: SimulatedHost, link: Link, bytes: number, task: () => void): void {
    this.#clockwork.after(link.take(from, bytes, this.#clockwork.now()), () => {
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
