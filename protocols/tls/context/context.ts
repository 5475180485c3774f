/**
 * The settings that TLS connections share: certificates, trust, versions, ciphers. Long because it turns each option
 * into a setting.
 */

import { ClosedError } from '../../../core/errors.ts';
import { checkArgument, checkOptions } from '../../../core/options.ts';
import type { LayerOptions, TransportLayer } from '../../../core/transport-layer.ts';
import type { Transport } from '../../../core/transport.ts';
import type { ConnectionBasis } from '../../../reactor/connections/connection-basis.ts';
import { hostName, readHostName } from '../../../reactor/addresses/host-name.ts';
import { encodeProtocols } from '../alpn.ts';
import type { SkippedFile } from '../certificates/ca-directory.ts';
import { listenNoMore } from '../sessions/internal-cache-callbacks.ts';
import { expectedName } from '../certificates/check-peer.ts';
import type { PeerExpectation } from '../certificates/check-peer.ts';
import { byServerName, strictly } from '../served-names.ts';
import { configure, useIdentity, verifyModesOf } from './configure.ts';
import type { LoadedFiles, LoadedIdentity } from './loaded-files.ts';
import * as c from '../constants.ts';
import { KeyLogWriter } from '../key-log.ts';
import {
  checkClientOptions,
  checkServerOptions,
  CONNECTION_RULES,
  IDENTITY_RULES,
  password as passwordRule,
} from './option-rules.ts';
import { openssl } from '../openssl.ts';
import type { Pointer } from '../openssl.ts';
import type { AnyOptions, Identity, TlsClientOptions, TlsConnectionOptions, TlsServerOptions } from './options.ts';
import { readPem } from '../certificates/pem.ts';
import type { PskClient, PskIdentity } from '../psk.ts';
import { SecureConnection } from '../secure-connection.ts';
import { ClientSessions } from '../sessions/client-sessions.ts';
import { scopeOf } from '../sessions/scope.ts';
import { mayHelpWithoutSession } from '../sessions/session-fault.ts';
import { SessionCache } from '../sessions/session-cache.ts';
import { lifetime } from '../sessions/session.ts';
import { TicketKeys } from '../sessions/ticket-keys.ts';
import { Vault } from '../sessions/vault.ts';
import type { Chooser, ContextSettings, SettingsOwner } from './settings.ts';
import { refused } from '../tls-error.ts';
import { TlsTransport } from '../tls-transport.ts';
import { readTrust } from '../certificates/trust.ts';
import { VERIFY_ERRORS, verifyErrorNumber } from '../certificates/verify-errors.ts';
import type { VerifyErrorName } from '../certificates/verify-errors.ts';

/**
 * The settings of TLS connections: certificates, trust, versions, ciphers, sessions. Make a context once and share it
 * among many connections. Only its certificate can be replaced later. Closing it does not close its connections.
 * @example
 * import { Reactor } from 'wantio';
 * import { selfSigned, TlsContext } from 'wantio/tls';
 *
 * const { certificate, key } = selfSigned();
 * const server = await TlsContext.server({ certificate: { pem: certificate }, key: { pem: key }, alpn: ['echo'] });
 * const client = await TlsContext.client({ ca: { pem: certificate }, alpn: ['echo'] });
 *
 * const reactor = new Reactor();
 * const listener = await reactor.listen({ host: '127.0.0.1', port: 0 });
 * listener.serve({ secure: server }, async (connection) => {
 *   await connection.send(`${connection.info().protocol} ${connection.info().alpn ?? ''}\n`);
 * });
 * const connection = await reactor.connectSecure({ host: 'localhost', port: listener.port, secure: client });
 * if ((await connection.receive()) !== 'TLSv1.3 echo') throw new Error('something else was agreed on');
 * await connection.close();
 * await reactor.close();
 */
export class TlsContext implements TransportLayer<SecureConnection, ConnectionBasis>, SettingsOwner {
  readonly role: 'client' | 'server';
  /** The files in the directories of `ca` that were skipped, and why. */
  readonly skippedFiles: readonly SkippedFile[];
  #settings: ContextSettings | undefined;

  /**
   * Makes a context for accepting connections. It requests no client certificate unless `verify` is set.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter; the message has OpenSSL's reason.
   * @throws {RangeError | TypeError} when an option is invalid.
   */
  static async server(options: TlsServerOptions): Promise<TlsContext> {
    checkServerOptions(options);
    if (options.certificate === undefined && options.identities === undefined && options.psk === undefined) {
      throw new TypeError('a TLS server needs a certificate and key, identities, or psk');
    }
    return new TlsContext('server', options, await load('server', options));
  }

  /**
   * Makes a context for connecting. The server must present a trusted certificate that is valid for its name.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter; the message has OpenSSL's reason.
   * @throws {RangeError | TypeError} when an option is invalid.
   */
  static async client(options: TlsClientOptions = {}): Promise<TlsContext> {
    checkClientOptions(options);
    return new TlsContext('client', options, await load('client', options));
  }

  private constructor(role: 'client' | 'server', options: AnyOptions, files: LoadedFiles) {
    const ssl = openssl();
    this.role = role;
    this.skippedFiles = files.trust?.skipped ?? [];
    const pointer = ssl.SSL_CTX_new(ssl.TLS_method());
    if (pointer === 0) throw refused('the TLS context cannot be created');
    let settings: ContextSettings | undefined;
    try {
      settings = settingsOf(role, pointer, options, files);
      configure(settings, options, files);
    } catch (error) {
      listenNoMore(pointer);
      ssl.SSL_CTX_free(pointer);
      settings?.keyLog?.close();
      throw error;
    }
    this.#settings = settings;
    const { keyLog, sessions, vault, ticketKeys, ownsTicketKeys, clientSessions, ownsClientSessions } = settings;
    // Not the whole settings: the caller's functions in them may reference this context and keep it alive.
    abandoned.register(
      this,
      { pointer, keyLog, sessions, vault, ticketKeys, ownsTicketKeys, clientSessions, ownsClientSessions },
      this,
    );
  }

  /** What the connections of this context use. @throws {ClosedError} when the context is closed. @internal */
  get settings(): ContextSettings {
    if (this.#settings === undefined) throw new ClosedError('handshake refused: the TLS context is closed');
    return this.#settings;
  }

  /**
   * Adds options for single connections to this context.
   * @returns a layer that can be passed wherever a context can.
   * @throws {RangeError | TypeError} when an option is invalid.
   */
  with(options: TlsConnectionOptions): TransportLayer<SecureConnection, ConnectionBasis> {
    checkOptions('context.with', options, CONNECTION_RULES);
    if (options.serverName !== undefined) hostName(options.serverName, 'serverName');
    const peer = options.peer === undefined ? {} : { peer: normalPeer(options.peer) };
    return this.#layer({ ...options, expect: normalExpectation(options.expect), ...peer }, false);
  }

  /**
   * @returns the layer for one more attempt without a session, when the offered session may have made the connection
   * fail; otherwise `undefined`. See {@link TransportLayer}.
   */
  redial(failed: Transport, error: unknown): TransportLayer<SecureConnection, ConnectionBasis> | undefined {
    if (!(failed instanceof TlsTransport) || !failed.offer.isBlamed || !mayHelpWithoutSession(error)) return undefined;
    return this.#layer(failed.options, true);
  }

  #layer(options: TlsConnectionOptions, offersNone: boolean): TransportLayer<SecureConnection, ConnectionBasis> {
    return {
      transport: (below, layered) =>
        this.#transport(
          below,
          { ...layered, serverName: options.serverName ?? layered.serverName },
          options,
          offersNone,
        ),
      connection: (transport, basis) => this.connection(transport, basis),
      redial: (failed, error) => this.redial(failed, error),
    };
  }

  /** Lays TLS over a transport. See {@link TransportLayer}. */
  transport(below: Transport, options: LayerOptions): Transport {
    return this.#transport(below, options, {});
  }

  /** Makes the connection over a transport that `transport` made. See {@link TransportLayer}. */
  connection(transport: Transport, basis: ConnectionBasis): SecureConnection {
    if (!(transport instanceof TlsTransport))
      throw new TypeError('a secure connection needs a transport made by a TlsContext');
    return new SecureConnection(transport, basis);
  }

  /**
   * Replaces the certificate that has the same kind of key (RSA, ECDSA, …), for example after a renewal. New
   * connections present the new one; connections that have begun their handshake keep the old one.
   * @throws {FileError | TlsError} when the certificate or key cannot be read or used; the old one stays in use.
   * @throws {ClosedError} when the context is closed.
   */
  async replaceCertificate(identity: Identity): Promise<void> {
    checkOptions('replaceCertificate', identity, IDENTITY_RULES);
    const loaded = await loadIdentity(identity);
    useIdentity(this.settings.pointer, loaded);
  }

  /** The sessions of this context and OpenSSL's internal cache. @throws {ClosedError} when the context is closed. */
  get sessions(): SessionCache {
    return this.settings.sessions;
  }

  /** Releases the context. Its connections stay open. Idempotent. */
  close(): void {
    const settings = this.#settings;
    if (settings === undefined) return;
    this.#settings = undefined;
    abandoned.unregister(this);
    release(settings);
  }

  /** Closes the context at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  #transport(
    below: Transport,
    { role, serverName, peer }: LayerOptions,
    options: TlsConnectionOptions,
    offersNone = false,
  ): TlsTransport {
    const { settings } = this;
    if (role !== this.role)
      throw new TypeError(`a context made for a ${this.role} cannot ${role === 'server' ? 'accept' : 'connect'}`);
    if (
      role === 'client' &&
      (settings.verifiesName || options.tlsa !== undefined) &&
      (serverName === undefined || serverName === '')
    ) {
      throw new TypeError('a TLS client needs a serverName: the name that the certificate must be valid for');
    }
    const name = serverName === undefined || serverName === '' ? undefined : hostName(serverName, 'serverName');
    return new TlsTransport(below, settings, { peer, ...options, serverName: name }, offersNone);
  }
}

function modesOf(role: 'client' | 'server', { verify = 'none', dangerouslyVerifyNobody = false }: AnyOptions): number {
  return verifyModesOf(role === 'server' ? verify : dangerouslyVerifyNobody ? 'none' : 'peer');
}

function settingsOf(
  role: 'client' | 'server',
  pointer: Pointer,
  options: AnyOptions,
  files: LoadedFiles,
): ContextSettings {
  const verifyModes = modesOf(role, options);
  const { dangerouslyAccept = [], alpn, psk, dangerouslyLogKeys, allowPeerRenegotiations = 0 } = options;
  return {
    role,
    pointer,
    verifyModes,
    trusts: files.trust !== undefined,
    verifiesName:
      role === 'client' && (verifyModes & c.SSL_VERIFY_PEER) !== 0 && options.dangerouslySkipNameCheck !== true,
    nameRules: options.dangerouslyUseOldNameRules === true ? 'rfc2818' : 'rfc9525',
    accepts: dangerouslyAccept === 'all' ? 'all' : new Set(dangerouslyAccept.map(faultOf)),
    expect: normalExpectation(options.expect),
    alpn:
      role === 'client' || alpn === undefined ? undefined : typeof alpn === 'function' ? alpn : encodeProtocols(alpn),
    ignoresAlpnMismatch: options.dangerouslyIgnoreAlpnMismatch === true,
    choose: chooserOf(options),
    staple: options.ocspStaple,
    requestsStaple: options.requestOcspStaple === true,
    pskServer: role === 'server' ? (options.psk as TlsServerOptions['psk']) : undefined,
    pskClient:
      role === 'server' || psk === undefined
        ? undefined
        : typeof psk === 'function'
          ? (psk as Exclude<PskClient, PskIdentity>)
          : () => psk,
    ...sessionsOf(role, pointer, options, files),
    keyLog: dangerouslyLogKeys === undefined ? undefined : new KeyLogWriter(dangerouslyLogKeys),
    peerRenegotiations: allowPeerRenegotiations,
  };
}

/**
 * Normalises the expected name, because it is part of the key under which sessions are kept: two spellings would be two
 * keys.
 * @throws {TypeError} when `expect.name` is not a valid host name or address.
 */
function normalExpectation(expect: PeerExpectation | undefined): PeerExpectation | undefined {
  return expect?.name === undefined ? expect : { ...expect, name: expectedName(expect.name) };
}

/** Writes the peer as connections do, so that each spelling of a host gives the same session key. */
function normalPeer(peer: string): string {
  const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(peer) ?? [];
  const read = readHostName(host);
  return 'fault' in read ? peer : `${read.name}:${port}`;
}

type SessionSettings = Pick<
  ContextSettings,
  | 'resumption'
  | 'scope'
  | 'trustScope'
  | 'sessionTtlMs'
  | 'vault'
  | 'ticketKeys'
  | 'ownsTicketKeys'
  | 'tickets'
  | 'sessions'
  | 'clientSessions'
  | 'ownsClientSessions'
>;

function sessionsOf(
  role: 'client' | 'server',
  pointer: Pointer,
  options: AnyOptions,
  files: LoadedFiles,
): SessionSettings {
  const {
    resumption = 'off',
    sessionStore,
    sessionStoreKey,
    sessionLookupMs = LOOKUP_MS,
    tickets = TICKETS,
    sessions,
  } = options;
  if (sessionStore !== undefined && resumption !== 'stateful')
    throw new TypeError("sessionStore needs resumption: 'stateful'");
  if (options.ticketKeys !== undefined && resumption !== 'stateless')
    throw new TypeError("ticketKeys needs resumption: 'stateless'");
  if (sessionStoreKey !== undefined && sessionStore === undefined)
    throw new TypeError('sessionStoreKey needs a sessionStore');
  const vault =
    sessionStore === undefined
      ? undefined
      : new Vault({ store: sessionStore, key: sessionStoreKey, lookupMs: sessionLookupMs });
  const ticketKeys = resumption === 'stateless' ? (options.ticketKeys ?? new TicketKeys()) : undefined;
  const trusted = { ...options, expect: normalExpectation(options.expect) };
  const scope = scopeOf(role, trusted, files);
  return {
    resumption,
    scope,
    trustScope: scopeOf(role, trusted, { ...files, identities: [] }),
    sessionTtlMs: lifetime(options.sessionTimeoutSeconds ?? SESSION_SECONDS) * 1000,
    vault,
    ticketKeys,
    ownsTicketKeys: ticketKeys !== undefined && options.ticketKeys === undefined,
    tickets,
    sessions: new SessionCache({ pointer, scope, vault, ticketKeys, now: () => performance.now() }),
    clientSessions: role === 'server' || sessions === 'off' ? undefined : (sessions ?? new ClientSessions()),
    ownsClientSessions: sessions === undefined,
  };
}

/** @throws {RangeError} when OpenSSL has no verification error of that name. */
function faultOf(name: VerifyErrorName): number {
  if (!Object.hasOwn(VERIFY_ERRORS, name))
    throw new RangeError(
      `dangerouslyAccept takes 'all' or names of OpenSSL's X509_V_ERR_… errors without that prefix, not ${name}`,
    );
  return verifyErrorNumber(name);
}

/** `serverNames` decides first; `chooseContext` is asked about the names that it does not list. */
function chooserOf({ serverNames, strictServerNames, chooseContext }: AnyOptions): Chooser | undefined {
  for (const [name, context] of Object.entries(serverNames ?? {}))
    if (!(context instanceof TlsContext) || context.role !== 'server')
      throw new TypeError(`serverNames must map ${JSON.stringify(name)} to a TlsContext.server`);
  const byName = serverNames && byServerName(serverNames);
  const choose: Chooser | undefined =
    byName === undefined || chooseContext === undefined
      ? (byName ?? chooseContext)
      : (hello) => byName(hello) ?? chooseContext(hello);
  if (strictServerNames !== true) return choose;
  if (choose === undefined)
    throw new TypeError('strictServerNames needs serverNames or chooseContext: without them it refuses every client');
  return strictly(choose);
}

async function load(role: 'client' | 'server', options: AnyOptions): Promise<LoadedFiles> {
  const { certificate, key, password } = options;
  if ((certificate === undefined) !== (key === undefined))
    throw new TypeError('a certificate needs its key, and a key its certificate');
  const identities = [
    ...(certificate === undefined || key === undefined ? [] : [{ certificate, key, password }]),
    ...(options.identities ?? []),
  ];
  const verifies = (modesOf(role, options) & c.SSL_VERIFY_PEER) !== 0;
  // No default: the web's roots vouch for hosts, and a host's certificate must not be enough to get in as a client.
  if (verifies && role === 'server' && options.ca === undefined)
    throw new TypeError('a server that verifies its clients needs `ca`: the authorities that issue their certificates');
  const { ca = verifies ? 'bundled' : undefined, dhParameters = 'auto' } = options;
  // One after the other, so that the error always names the same file.
  const loaded = [];
  for (const identity of identities) loaded.push(await loadIdentity(identity));
  return {
    identities: loaded,
    trust: ca === undefined ? undefined : await readTrust(ca, options.crls),
    dhParameters: dhParameters === 'auto' ? undefined : await readPem(dhParameters, 'DH parameters'),
  };
}

async function loadIdentity({ certificate, key, password }: Identity): Promise<LoadedIdentity> {
  const known = typeof password === 'function' ? await password() : password;
  // The result of the caller's function is not checked yet.
  if (known !== undefined) checkArgument('TlsContext', 'password', known, passwordRule);
  return {
    certificate: await readPem(certificate, 'certificate'),
    key: await readPem(key, 'private key'),
    password: known,
  };
}

function release({
  pointer,
  keyLog,
  sessions,
  vault,
  ticketKeys,
  ownsTicketKeys,
  clientSessions,
  ownsClientSessions,
}: Belongings): void {
  sessions.close();
  vault?.close();
  if (ownsClientSessions) clientSessions?.close();
  if (ownsTicketKeys) ticketKeys?.close();
  openssl().SSL_CTX_free(pointer);
  keyLog?.close();
}

const LOOKUP_MS = 250;
const TICKETS = 2;
const SESSION_SECONDS = 7_200;
// Frees a context that was garbage-collected without being closed.
const abandoned = new FinalizationRegistry<Belongings>(release);

/** What a context releases when it is closed. */
type Belongings = Pick<
  ContextSettings,
  | 'pointer'
  | 'keyLog'
  | 'sessions'
  | 'vault'
  | 'ticketKeys'
  | 'ownsTicketKeys'
  | 'clientSessions'
  | 'ownsClientSessions'
>;
