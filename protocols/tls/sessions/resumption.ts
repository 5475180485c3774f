/** Whether a connection went on with a session, and if not, why not. */

/** How a server deals with sessions. See `TlsServerOptions.resumption`. */
export type ResumptionPolicy = 'off' | 'stateful' | 'stateless';

/** Why a full handshake was made. */
export type ResumptionMiss =
  /** Sessions are off. */
  | 'off'
  /** The client offered none; an id that clients of TLS 1.3 make up is none. */
  | 'not offered'
  /** There is no session of that id, or it was of another server. */
  | 'unknown'
  /** The ticket was sealed with a key that is not in the ring, or is no ticket of ours. */
  | 'unknown key'
  /** Its time had passed. */
  | 'expired'
  /**
   * It was made under other conditions: other authorities, another demand for certificates, other names or protocols.
   */
  | 'scope'
  /** It was made for another server name. */
  | 'server name'
  /** It does not open, or what is in it is no session, or one of another id. */
  | 'corrupted'
  /** The store failed. */
  | 'store failed'
  /** The store did not answer in time. */
  | 'store late'
  /** The store has failed too often lately, and is not asked for a while. */
  | 'store resting'
  /** OpenSSL refused it: another version, another cipher. */
  | 'refused'
  /** The handshake that offered it failed. */
  | 'failed';

/** What came of the wish to go on with a session. */
export type Resumption = 'resumed' | ResumptionMiss;

/** How often each was the case. */
export class ResumptionCounts {
  readonly #counts = new Map<Resumption, number>();

  count(what: Resumption): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** Those that were the case at least once. */
  snapshot(): Readonly<Partial<Record<Resumption, number>>> {
    return Object.fromEntries(this.#counts);
  }
}
