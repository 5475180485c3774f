/** wantio/protocols: what runs over connections. */

export { Relay } from './relay.ts';
export type { RelayOptions, RelayStatistics } from './relay.ts';
