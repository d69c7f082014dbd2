// The one state that the modules share, and the clock of the service. The language is in texts.js.

// What the page knows. `view` is the newest answer of `v1/room`.
export const now = {
  key: null,
  view: null,
  offset: 0, // of the service's clock to this one's, in seconds
  answeredAt: 0, // the last good answer; 0 before the first
  askedAt: 0, // the question under way; 0 if there is none
  trouble: "", // why the last question had no good answer; "" if it had one
  round: 0, // raised by whatever makes the answers under way out of date
  known: null, // state of each job by its id in the last view, to tell what is new
  message: null,
};

export const serverNow = () => Date.now() / 1000 + now.offset;
