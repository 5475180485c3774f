/** What the processes of a run say to each other. */

/** What a load does. */
export interface LoadPlan {
  /**
   * - `echo`: every connection has one message under way; counts messages that came back.
   * - `handshake`: connect, finish the TLS handshake, close, and again; counts connections.
   * - `exchange`: connect, one message there and back, close, and again; counts connections.
   * - `download`, `upload`: counts bytes.
   * - `idle`: connects and keeps still; counts connections.
   */
  readonly kind: 'echo' | 'handshake' | 'exchange' | 'download' | 'upload' | 'idle';
  readonly connections: number;
  /** Bytes of a message, or of a write. */
  readonly size: number;
  /**
   * The version of TLS under which every connection goes on with the session of the one before, in its lane; 1.3 and
   * full handshakes without.
   */
  readonly resumes?: 'TLSv1.2' | 'TLSv1.3';
}

/** A server, as a client sees it. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** The file of the certificate to trust; without one the connection is plain. */
  readonly authority?: string | undefined;
}

/** What a load is asked: all of it in the order open, count…, close. */
export type LoadRequest =
  | { readonly ask: 'open'; readonly plan: LoadPlan; readonly endpoint: Endpoint }
  | { readonly ask: 'count' }
  | { readonly ask: 'close' };

/** How much a load has done, and when that was. */
export interface Count {
  readonly count: number;
  readonly atMs: number;
}

/** What a server is asked: the memory that is left after garbage collection. */
export interface ServerRequest {
  readonly ask: 'memory';
}

export interface Memory {
  readonly rssBytes: number;
}

export interface Envelope {
  readonly id: number;
  readonly body: unknown;
}

export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** Answers the requests of the process that started this one, and ends with it. */
export function answer<Request>(handle: (request: Request) => unknown): void {
  process.on('disconnect', () => process.exit(0));
  process.on('message', (message: Envelope) => {
    const { id } = message;
    const reply = (rest: Omit<Reply, 'id'>): void => {
      if (process.connected) process.send?.({ id, ...rest });
    };
    Promise.resolve()
      .then(() => handle(message.body as Request))
      .then((value) => {
        reply({ value });
      })
      .catch((error: unknown) => {
        reply({ error: error instanceof Error ? error.message : String(error) });
      });
  });
}
