/** A server's decision about a client hello, before it answers. */

import type { TimeSource } from '../../core/clock.ts';
import { IDENTITIES_AT_MOST } from './client-hello.ts';
import type { ParsedHello } from './client-hello.ts';
import type { ContextSettings, SettingsOwner } from './context/settings.ts';
import { identityOf, presharedKey } from './psk.ts';
import type { PresharedKey } from './psk.ts';
import type { ResumptionMiss } from './sessions/resumption.ts';
import { andThen } from './thenable.ts';

/** The decision about one client hello. */
export interface Decision {
  /** The chosen context. Its settings are read only when they are used, because it may be closed in between. */
  readonly chosen: SettingsOwner | undefined;
  /** The application protocol, if a function chose one. */
  readonly alpn: string | undefined;
  readonly staple: Uint8Array | undefined;
  /** The shared keys of the offered identities. */
  readonly keys: ReadonlyMap<string, PresharedKey>;
  /** The stored session with its id, or why none was found. */
  readonly session:
    { readonly id: Uint8Array; readonly der: Uint8Array } | { readonly miss: ResumptionMiss } | undefined;
}

/** Whether connections of a context must pause at the client hello for a decision. */
export function mustDecide({ choose, alpn, staple, pskServer, vault }: ContextSettings): boolean {
  return (
    vault !== undefined ||
    choose !== undefined ||
    typeof alpn === 'function' ||
    typeof staple === 'function' ||
    pskServer !== undefined
  );
}

/**
 * Asks the functions and the store of a context.
 * @returns the decision, as a Promise only when one of them returns one.
 */
export function decide(settings: ContextSettings, hello: ParsedHello, time: TimeSource): Decision | Promise<Decision> {
  if (settings.choose === undefined) return prepare(settings, undefined, hello, time);
  return andThen(settings.choose({ serverName: hello.serverName, alpn: hello.alpn }), (chosen) =>
    prepare(settings, chosen, hello, time),
  );
}

function prepare(
  present: ContextSettings,
  chosen: SettingsOwner | undefined,
  hello: ParsedHello,
  time: TimeSource,
): Decision | Promise<Decision> {
  const settings = chosen === undefined ? present : settingsOf(chosen);
  const { alpn, staple, pskServer } = settings;
  const protocol = typeof alpn === 'function' && hello.alpn.length > 0 ? alpn(hello.alpn) : undefined;
  return andThen(typeof staple === 'function' ? staple() : staple, (stapled) =>
    andThen(pskServer === undefined ? NO_KEYS : keysOf(pskServer, hello.identities), (keys) =>
      andThen(sessionOf(settings, hello, time), (session) => ({
        chosen,
        alpn: protocol,
        staple: stapled,
        keys,
        session,
      })),
    ),
  );
}

/** Checks the caller's choice: an invalid one must not silently mean the present context. */
function settingsOf(chosen: SettingsOwner): ContextSettings {
  const settings = chosen.settings as ContextSettings | undefined;
  if (settings?.role !== 'server') throw new TypeError('chooseContext must return a TlsContext.server, or undefined');
  return settings;
}

/** Asks the store for the offered session, if one of the first few ids has the vault's mark. */
function sessionOf(
  { vault, scope }: ContextSettings,
  { identities, sessionId, serverName, makesUpIds }: ParsedHello,
  time: TimeSource,
): Decision['session'] | Promise<Decision['session']> {
  if (vault === undefined) return undefined;
  const offered = identities.length > 0 ? identities : sessionId.length > 0 ? [sessionId] : [];
  const id = offered.slice(0, IDENTITIES_AT_MOST).find((each) => vault.isOwn(each));
  if (id === undefined)
    return { miss: offered.length === 0 || (identities.length === 0 && makesUpIds) ? 'not offered' : 'unknown' };
  return andThen(vault.find(id, { scope, serverName }, time), (found) =>
    'der' in found ? { id, der: found.der } : found,
  );
}

/** Looks up the keys of the first few identities. A client may offer many, most of them sessions. */
function keysOf(
  find: NonNullable<ContextSettings['pskServer']>,
  identities: readonly Uint8Array[],
): ReadonlyMap<string, PresharedKey> | Promise<ReadonlyMap<string, PresharedKey>> {
  const names = identities
    .slice(0, IDENTITIES_AT_MOST)
    .map(identityOf)
    .filter((name) => name !== undefined);
  return names.reduce<ReadonlyMap<string, PresharedKey> | Promise<ReadonlyMap<string, PresharedKey>>>(
    (before, name) =>
      andThen(before, (keys) =>
        andThen(find(name), (key) => (key === undefined ? keys : new Map([...keys, [name, presharedKey(key)]]))),
      ),
    NO_KEYS,
  );
}

const NO_KEYS: ReadonlyMap<string, PresharedKey> = new Map();
