/** What TLS connections have in common: certificates, trust, versions, ciphers. */

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
import { byServerName } from '../served-names.ts';
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
 * A TLS context: made once, shared by many connections, unchangeable. Closing it leaves its connections as they are.
 */
export class TlsContext implements TransportLayer<SecureConnection, ConnectionBasis>, SettingsOwner {
  readonly role: 'client' | 'server';
  /** Files of the directories in `ca` that were not used, and why. */
  readonly skippedFiles: readonly SkippedFile[];
  #settings: ContextSettings | undefined;

  /**
   * A context for accepting. It asks for no client certificate unless `verify` says so.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter, with its reason.
   * @throws {RangeError | TypeError} when an option makes no sense.
   */
  static async server(options: TlsServerOptions): Promise<TlsContext> {
    checkServerOptions(options);
    if (options.certificate === undefined && options.identities === undefined && options.psk === undefined) {
      throw new TypeError('a TLS server needs a certificate and key, identities, or psk');
    }
    return new TlsContext('server', options, await load('server', options));
  }

  /**
   * A context for connecting. The peer must show a certificate that is trusted and is that of the server's name.
   * @throws {FileError} when a file cannot be read.
   * @throws {TlsError} when OpenSSL refuses a parameter, with its reason.
   * @throws {RangeError | TypeError} when an option makes no sense.
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
    if (pointer === 0) throw refused('no TLS context');
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
    // Without those who choose, for they may hold on to the context.
    abandoned.register(
      this,
      { pointer, keyLog, sessions, vault, ticketKeys, ownsTicketKeys, clientSessions, ownsClientSessions },
      this,
    );
  }

  /** What connections take from it. @internal */
  get settings(): ContextSettings {
    if (this.#settings === undefined) throw new ClosedError('handshake refused: the TLS context is closed');
    return this.#settings;
  }

  /** @returns this context for connections that differ from others in `options`; to be given wherever a context is. */
  with(options: TlsConnectionOptions): TransportLayer<SecureConnection, ConnectionBasis> {
    checkOptions('context.with', options, CONNECTION_RULES);
    if (options.serverName !== undefined) hostName(options.serverName, 'serverName');
    const peer = options.peer === undefined ? {} : { peer: normalPeer(options.peer) };
    return this.#layer({ ...options, expect: normalExpectation(options.expect), ...peer }, false);
  }

  /** A context for another try, without the session that made `failed` fail. See {@link TransportLayer}. */
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

  /** Makes the connection over that. See {@link TransportLayer}. */
  connection(transport: Transport, basis: ConnectionBasis): SecureConnection {
    if (!(transport instanceof TlsTransport))
      throw new TypeError('a secure connection needs the transport that its context has made');
    return new SecureConnection(transport, basis);
  }

  /**
   * Shows another certificate from now on, in the place of the one with the same kind of key: for renewals. Connections
   * that have begun their handshake keep the old one.
   * @throws {FileError | TlsError} when it cannot be read or used; the old one stays then.
   */
  async replaceCertificate(identity: Identity): Promise<void> {
    checkOptions('replaceCertificate', identity, IDENTITY_RULES);
    const loaded = await loadIdentity(identity);
    useIdentity(this.settings.pointer, loaded);
  }

  /** The sessions that were made in it, and OpenSSL's own cache of them. @throws {ClosedError} when it is closed. */
  get sessions(): SessionCache {
    return this.settings.sessions;
  }

  /** Gives the context back; connections that use it go on. */
  close(): void {
    const settings = this.#settings;
    if (settings === undefined) return;
    this.#settings = undefined;
    abandoned.unregister(this);
    release(settings);
  }

  /** Closes it, at the end of a `using` block. */
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
      throw new TypeError('a TLS client needs the serverName that the certificate must be for');
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
 * One name has one spelling from here on: sessions are kept by it too.
 * @throws {TypeError} when no host can have it.
 */
function normalExpectation(expect: PeerExpectation | undefined): PeerExpectation | undefined {
  return expect?.name === undefined ? expect : { ...expect, name: expectedName(expect.name) };
}

/** The peer as connections know it by themselves, however its host is spelt. */
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
    throw new TypeError("sessionStore is for resumption: 'stateful'");
  if (options.ticketKeys !== undefined && resumption !== 'stateless')
    throw new TypeError("ticketKeys are for resumption: 'stateless'");
  if (sessionStoreKey !== undefined && sessionStore === undefined)
    throw new TypeError('sessionStoreKey is for a sessionStore, and there is none');
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

/** @throws {RangeError} for a name that OpenSSL does not give to any fault. */
function faultOf(name: VerifyErrorName): number {
  if (!Object.hasOwn(VERIFY_ERRORS, name))
    throw new RangeError(
      `dangerouslyAccept knows 'all' and the names of OpenSSL's X509_V_ERR_… without that prefix, not ${name}`,
    );
  return verifyErrorNumber(name);
}

/** The names decide first, then the one who chooses. */
function chooserOf({ serverNames, strictServerNames, chooseContext }: AnyOptions): Chooser | undefined {
  for (const [name, context] of Object.entries(serverNames ?? {}))
    if (!(context instanceof TlsContext) || context.role !== 'server')
      throw new TypeError(`serverNames has no TlsContext.server for ${JSON.stringify(name)}`);
  const byName =
    serverNames === undefined
      ? undefined
      : byServerName(serverNames, strictServerNames === true && chooseContext === undefined);
  if (byName === undefined || chooseContext === undefined) return byName ?? chooseContext;
  return (hello) => byName(hello) ?? chooseContext(hello);
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
  // Roots of the web vouch for hosts; whoever has a host's certificate is not for that reason somebody to let in.
  if (verifies && role === 'server' && options.ca === undefined)
    throw new TypeError('a server that verifies its clients needs `ca`: the authorities whose clients may come in');
  const { ca = verifies ? 'bundled' : undefined, dhParameters = 'auto' } = options;
  // One after the other, so that it is always the same file that is complained of first.
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
  // Nobody has checked what the function gives.
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
// A context that nobody closed is freed when nobody can use it any more.
const abandoned = new FinalizationRegistry<Belongings>(release);

/** What a context gives back. */
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
