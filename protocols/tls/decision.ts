/** What a server decides about a client hello before it answers. */

import type { TimeSource } from '../../core/clock.ts';
import { IDENTITIES_AT_MOST } from './client-hello.ts';
import type { ParsedHello } from './client-hello.ts';
import type { ContextSettings, SettingsOwner } from './context/settings.ts';
import { identityOf, presharedKey } from './psk.ts';
import type { PresharedKey } from './psk.ts';
import type { ResumptionMiss } from './sessions/resumption.ts';
import { andThen } from './thenable.ts';

/** What was decided before the server answers. */
export interface Decision {
  /** The context that was chosen; its settings are asked for when they are used, for it may be closed meanwhile. */
  readonly chosen: SettingsOwner | undefined;
  /** The chosen application protocol, where somebody chose. */
  readonly alpn: string | undefined;
  readonly staple: Uint8Array | undefined;
  /** Shared keys by the identity that was offered. */
  readonly keys: ReadonlyMap<string, PresharedKey>;
  /** The stored session that was found, with its id; or why there is none. */
  readonly session:
    { readonly id: Uint8Array; readonly der: Uint8Array } | { readonly miss: ResumptionMiss } | undefined;
}

/** Whether connections of a context must pause in the client hello. */
export function mustDecide({ choose, alpn, staple, pskServer, vault }: ContextSettings): boolean {
  return (
    vault !== undefined ||
    choose !== undefined ||
    typeof alpn === 'function' ||
    typeof staple === 'function' ||
    pskServer !== undefined
  );
}

/** Asks everybody who has a say. @returns the decision, as a Promise only when somebody takes his time. */
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

/** A choice that is none must not mean the context that was not chosen. */
function settingsOf(chosen: SettingsOwner): ContextSettings {
  const settings = chosen.settings as ContextSettings | undefined;
  if (settings?.role !== 'server') throw new TypeError('chooseContext must give a TlsContext.server, or undefined');
  return settings;
}

/** Asks the store for what the client offers: ids of ours only, and of the first few. */
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

/** A client may offer many identities, most of them sessions: the first few are asked for. */
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
