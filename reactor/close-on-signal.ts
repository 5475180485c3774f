/** Ctrl-C as servers should take it. */

import { checkArgument, checkOptions, func, milliseconds } from '../core/options.ts';
import type { Rules } from '../core/options.ts';
import { reactorRule } from './reactor-rule.ts';
import type { Reactor } from './reactor.ts';

/** How a process ends on a signal. */
export interface SignalOptions {
  /** How long running work may take to end after the first signal, in milliseconds; 10 seconds by default. */
  readonly timeoutMs?: number | undefined;
  /** Told with the first signal: draining has begun. */
  readonly onDrain?: ((signal: NodeJS.Signals) => void) | undefined;
}

export const SIGNAL_RULES = { timeoutMs: milliseconds, onDrain: func } satisfies Rules<SignalOptions>;

/**
 * On SIGINT or SIGTERM drains the reactor, on a second one aborts what is left. Nothing else is done: the process ends
 * by itself when nothing keeps it.
 * @returns resolves once the reactor is closed, by a signal or otherwise; the signals have their usual effect again
 * after that.
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
  if (listening.size === 0) process.on('SIGINT', tellAll).on('SIGTERM', tellAll);
  listening.add(onSignal);
  try {
    await reactor.ended;
  } finally {
    listening.delete(onSignal);
    if (listening.size === 0) process.off('SIGINT', tellAll).off('SIGTERM', tellAll);
  }
}

/** One listener for all reactors of the process: Node warns of a leak at eleven. */
function tellAll(signal: NodeJS.Signals): void {
  for (const tell of [...listening]) tell(signal);
}

const listening = new Set<(signal: NodeJS.Signals) => void>();
