/** The answers of one connection to OpenSSL's callbacks. */

import type { ContextSettings } from '../context/settings.ts';
import { Exchange } from './exchange.ts';
import { HelloAnswers } from './hello.ts';
import type { Lookups } from './lookups.ts';
import { Progress } from './progress.ts';
import { SessionAnswers } from './sessions.ts';
import { TrustAnswers } from './trust.ts';

/** Answers OpenSSL's callbacks for one connection, and records what they report. */
export class Answers {
  readonly exchange: Exchange;
  readonly hello: HelloAnswers;
  readonly trust: TrustAnswers;
  readonly sessions: SessionAnswers;
  readonly progress: Progress;

  constructor(settings: ContextSettings, lookups: Lookups) {
    this.exchange = new Exchange(settings, lookups);
    this.hello = new HelloAnswers(this.exchange);
    this.sessions = new SessionAnswers(this.exchange, this.hello);
    this.trust = new TrustAnswers(this.exchange, this.hello, this.sessions);
    this.progress = new Progress(this.exchange);
  }

  /** The first handshake is complete. @param reused whether OpenSSL reports a resumed session. */
  complete(reused: boolean, isTls13: boolean): void {
    this.progress.complete();
    // OpenSSL reports a shared key (PSK) as a resumed session, too.
    this.sessions.complete(reused && !this.trust.usesPsk, isTls13);
    this.hello.complete();
  }
}
