/** Whether a connection resumed a session, and if not, why. */

/** How a server lets clients resume sessions. See `TlsServerOptions.resumption`. */
export type ResumptionPolicy = 'off' | 'stateful' | 'stateless';

/** Why a connection made a full handshake. */
export type ResumptionMiss =
  /** Sessions are off. */
  | 'off'
  /** The client offered no session. The id that TLS 1.3 clients make up does not count. */
  | 'not offered'
  /** The server has no session of that id, or another server made it. */
  | 'unknown'
  /** The ticket was sealed with a key that is not in the ring, or by another server. */
  | 'unknown key'
  /** The session had expired. */
  | 'expired'
  /**
   * The session was made under other settings: other authorities, other rules for certificates, other names or
   * protocols.
   */
  | 'scope'
  /** The session was made for another server name. */
  | 'server name'
  /** The stored value cannot be decrypted, or it is not a session, or it is a session of another id. */
  | 'corrupted'
  /** The store failed. */
  | 'store failed'
  /** The store did not answer in time. */
  | 'store late'
  /** The store has failed too often recently and is not asked for a while. */
  | 'store resting'
  /** OpenSSL did not resume it, for example because the version or the cipher differs. */
  | 'refused'
  /** An earlier handshake that offered a session to this server failed. */
  | 'failed';

/** The outcome of resumption on one connection. */
export type Resumption = 'resumed' | ResumptionMiss;

/** Counts connections by outcome. */
export class ResumptionCounts {
  readonly #counts = new Map<Resumption, number>();

  count(what: Resumption): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** @returns the counts of the outcomes that occurred at least once. */
  snapshot(): Readonly<Partial<Record<Resumption, number>>> {
    return Object.fromEntries(this.#counts);
  }
}
