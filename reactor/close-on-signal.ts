/** Closes a reactor gracefully on SIGINT and SIGTERM. */

import { checkArgument, checkOptions, func, milliseconds } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { reactorRule } from './reactor-rule.ts';
import type { Reactor } from './reactor.ts';

/** The options of `closeOnSignal`. */
export interface SignalOptions {
  /** How long running work may take after the first signal, in milliseconds; 10 seconds by default. */
  readonly timeoutMs?: number | undefined;
  /** Called with the first signal, before the reactor drains. */
  readonly onDrain?: ((signal: NodeJS.Signals) => void) | undefined;
}

export const SIGNAL_RULES = { timeoutMs: milliseconds, onDrain: func } satisfies Rules<SignalOptions>;

/**
 * Drains the reactor on SIGINT or SIGTERM, and aborts it on a second signal. It does not exit: the process ends when
 * nothing else keeps it alive.
 * @returns resolves when the reactor is closed, by a signal or otherwise. From then on, the signals have their usual
 * effect again.
 */
export async function closeOnSignal(reactor: Reactor, options: SignalOptions = {}): Promise<void> {
  checkArgument('closeOnSignal', 'the reactor', reactor, reactorRule);
  checkOptions('closeOnSignal', options, SIGNAL_RULES);
  const { timeoutMs, onDrain } = options;
  let draining: Promise<void> | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (draining !== undefined) {
      reactor.abort();
      return;
    }
    onDrain?.(signal);
    draining = reactor.close({ timeoutMs });
  };
  if (listening.size === 0) process.on('SIGINT', notifyAll).on('SIGTERM', notifyAll);
  listening.add(onSignal);
  try {
    await reactor.ended;
  } finally {
    listening.delete(onSignal);
    if (listening.size === 0) process.off('SIGINT', notifyAll).off('SIGTERM', notifyAll);
  }
}

/** One listener for all reactors of the process, because Node warns of a leak at eleven listeners. */
function notifyAll(signal: NodeJS.Signals): void {
  for (const onSignal of [...listening]) onSignal(signal);
}

const listening = new Set<(signal: NodeJS.Signals) => void>();
