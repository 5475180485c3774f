/** The messages between the processes of a run. */

/** The work of a load. */
export interface LoadPlan {
  /**
   * - `echo`: every connection has one message in flight; counts the messages that returned.
   * - `handshake`: connect, finish the TLS handshake, close, and again; counts connections.
   * - `exchange`: connect, one message there and back, close, and again; counts connections.
   * - `download`, `upload`: counts bytes.
   * - `idle`: connects and stays idle; counts connections.
   */
  readonly kind: 'echo' | 'handshake' | 'exchange' | 'download' | 'upload' | 'idle';
  readonly connections: number;
  /** Bytes of a message, or of a write. */
  readonly size: number;
  /**
   * The version of TLS. Every connection resumes the session of the previous connection in its lane (see
   * `ReconnectLoad`). If absent, every connection uses TLS 1.3 and makes a full handshake.
   */
  readonly resumes?: 'TLSv1.2' | 'TLSv1.3';
}

/** The address of a server, and the certificate to trust. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** The file of the certificate to trust. Without it the connection is plain. */
  readonly authority?: string | undefined;
}

/** The requests to a load, in the order open, count…, close. */
export type LoadRequest =
  | { readonly ask: 'open'; readonly plan: LoadPlan; readonly endpoint: Endpoint }
  | { readonly ask: 'count' }
  | { readonly ask: 'close' };

/** The work that a load has done, and the time of this count. */
export interface Count {
  readonly count: number;
  readonly atMs: number;
}

/** The request to a server: its memory after garbage collection. */
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

/** Answers the requests of the parent process. This process ends when its parent ends. */
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
