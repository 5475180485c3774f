/** What a client says first, and what a server makes of it before it answers. */

import { isIP } from 'node:net';

import type { TimeSource } from '../../core/clock.ts';
import { readHostName } from '../../reactor/addresses/host-name.ts';
import { decodeProtocols } from './alpn.ts';
import * as c from './constants.ts';
import { openssl } from './openssl.ts';
import type { Pointer } from './openssl.ts';
import { identityOf, presharedKey } from './psk.ts';
import type { PresharedKey } from './psk.ts';
import type { ResumptionMiss } from './sessions/resumption.ts';
import type { ContextSettings, SettingsOwner } from './context/settings.ts';
import { andThen } from './thenable.ts';
import { TlsError } from './tls-error.ts';

/** The first message of a client, as far as it matters for choosing. Nothing in it is proved. */
export interface ClientHello {
  /**
   * The name that it asks for: in lower case and A-labels, without a dot at its end. What no host can be named is here
   * as it came, in lower case.
   */
  readonly serverName: string | undefined;
  /** The application protocols that it offers, the preferred one first. */
  readonly alpn: readonly string[];
}

/** A client hello with what only the machinery looks at. */
export interface ParsedHello extends ClientHello {
  /** The identities of the shared keys and sessions that it offers under TLS 1.3. */
  readonly identities: readonly Uint8Array[];
  /** The id of the session that it offers under TLS 1.2. */
  readonly sessionId: Uint8Array;
  /** Whether it speaks TLS 1.3: such clients make an id up when they offer no session (RFC 8446, appendix D.4). */
  readonly makesUpIds: boolean;
}

/**
 * Chooses a context, now or later; `undefined` stays with the present one.
 * @throws {TlsError} with an alert to refuse the client.
 */
export type Chooser = (hello: ClientHello) => SettingsOwner | undefined | Promise<SettingsOwner | undefined>;

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

/** @returns the chooser of a server with contexts by name. */
export function byServerName(names: Readonly<Record<string, SettingsOwner>>, strict: boolean): Chooser {
  const contexts = new Map<string, SettingsOwner>();
  for (const [given, context] of Object.entries(names)) {
    const name = checkedName(given);
    if (contexts.has(name)) throw new RangeError(`serverNames has ${JSON.stringify(name)} twice, in two spellings`);
    contexts.set(name, context);
  }
  return ({ serverName }) => {
    const wildcard =
      serverName === undefined ? undefined : `*${serverName.slice(Math.max(0, serverName.indexOf('.')))}`;
    const found = serverName === undefined ? undefined : (contexts.get(serverName) ?? contexts.get(wildcard as string));
    if (found === undefined && strict) {
      throw new TlsError(
        serverName === undefined
          ? 'handshake refused: the client names no server'
          : `handshake refused: there is no server ${JSON.stringify(serverName)}`,
        { reason: 'unrecognized name', sent: c.ALERT_UNRECOGNIZED_NAME },
      );
    }
    return found;
  };
}

/**
 * @returns a name of `serverNames` in the form in which clients' names are compared.
 * @throws {RangeError} when no client can ask for it.
 */
export function checkedName(name: string): string {
  const [, star = '', host = ''] = /^(\*\.)?([^]*)$/.exec(name) ?? [];
  const read = readHostName(host);
  const fault =
    'fault' in read
      ? read.fault
      : isIP(read.name) === 0
        ? undefined
        : 'clients ask for names only, never for addresses (RFC 6066, section 3)';
  if (fault !== undefined)
    throw new RangeError(
      `serverNames takes names such as "example.com" and "*.example.com", not ${JSON.stringify(name)}: ${fault}`,
    );
  return star + (read as { readonly name: string }).name;
}

/** Reads the client hello that OpenSSL is looking at; inside its client hello callback only. */
export function parseHello(connection: Pointer): ParsedHello {
  const name = extension(connection, c.TLSEXT_TYPE_SERVER_NAME);
  const alpn = extension(connection, c.TLSEXT_TYPE_ALPN);
  const psk = extension(connection, c.TLSEXT_TYPE_PSK);
  const idLength = openssl().SSL_client_hello_get0_session_id(connection, address);
  const sessionId = idLength === 0 ? new Uint8Array(0) : openssl().copyOf(address[0], idLength);
  const versions = extension(connection, c.TLSEXT_TYPE_SUPPORTED_VERSIONS);
  return {
    sessionId,
    makesUpIds: versions !== undefined && offersTls13(versions),
    serverName: name && parseServerName(name),
    alpn: alpn === undefined ? [] : decodeProtocols(alpn.subarray(2)).slice(0, PROTOCOLS_AT_MOST),
    identities: psk === undefined ? [] : parseIdentities(psk),
  };
}

/** @returns a copy of the extension's content; `undefined` when the client has not sent it. */
function extension(connection: Pointer, type: number): Uint8Array | undefined {
  const ssl = openssl();
  if (ssl.SSL_client_hello_get0_ext(connection, type, address, length) <= 0) return undefined;
  return length[0] === 0n ? new Uint8Array(0) : ssl.copyOf(address[0], Number(length[0]));
}

/** RFC 6066, section 3: a list of one entry, which is of the type host_name. OpenSSL itself refuses what is not so. */
function parseServerName(bytes: Uint8Array): string | undefined {
  const length = bytes.length >= 5 ? uint16(bytes, 3) : 0;
  if (length === 0 || bytes[2] !== c.TLSEXT_NAMETYPE_HOST_NAME || 5 + length > bytes.length) return undefined;
  const text = Buffer.from(bytes.subarray(5, 5 + length)).toString();
  const read = readHostName(text);
  return 'fault' in read ? text.toLowerCase() : read.name;
}

/** RFC 8446, section 4.2.1: versions of two bytes each, after their length in one. */
function offersTls13(bytes: Uint8Array): boolean {
  for (let at = 1; at + 2 <= bytes.length; at += 2) if (uint16(bytes, at) === c.VERSIONS['TLSv1.3']) return true;
  return false;
}

/** RFC 8446, section 4.2.11: each identity after its length, and followed by the age of its ticket. */
function parseIdentities(bytes: Uint8Array): Uint8Array[] {
  const identities: Uint8Array[] = [];
  const end = bytes.length < 2 ? 0 : Math.min(bytes.length, 2 + uint16(bytes, 0));
  for (let at = 2; at + 2 <= end && identities.length < IDENTITIES_AT_MOST;) {
    const length = uint16(bytes, at);
    if (at + 2 + length > end) break;
    identities.push(bytes.subarray(at + 2, at + 2 + length));
    at += 2 + length + 4;
  }
  return identities;
}

// What OpenSSL writes into, taken out again at once.
const address = new BigUint64Array(1);
const length = new BigUint64Array(1);
const uint16 = (bytes: Uint8Array, at: number): number => bytes[at] * 256 + bytes[at + 1];
const IDENTITIES_AT_MOST = 4;
// More than anybody has use for.
const PROTOCOLS_AT_MOST = 64;
const NO_KEYS: ReadonlyMap<string, PresharedKey> = new Map();
