// What the browser keeps: the key in the session storage of this tab, the language for longer.

export function stored(storage, name, value) {
  // A browser may refuse storage; the page then works until it is closed.
  try {
    if (value === undefined) return storage().getItem(name);
    if (value === null) storage().removeItem(name);
    else storage().setItem(name, value);
  } catch {}
  return null;
}

export const session = () => sessionStorage;
export const local = () => localStorage;
