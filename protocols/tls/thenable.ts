/** Helpers for answers that may be a value or a Promise. */

/** Whether `value` is a Promise or any other thenable. */
export function isThenable<T>(value: T | PromiseLike<T>): value is Promise<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Passes `value` to `next`: at once if it is a value, otherwise when the Promise resolves. */
export function andThen<T, R>(value: T | Promise<T>, next: (value: T) => R | Promise<R>): R | Promise<R> {
  return isThenable(value) ? value.then(next) : next(value);
}
