// A figure whose Plotly comes from a shared carrier, and which tells the kernel when it has drawn what that sent.

const CHANGES = ['addTraces', 'deleteTraces', 'moveTraces', 'restyle', 'relayout', 'update', 'animate',
  'removeLayoutProps', 'removeTraceProps'].map((name) => `_py2js_${name}`);
// Times as long as a change took that a person sees, before the next may come: the page is theirs most of the time.
const REST = 2;
const LONGEST_REST = 4000;  // milliseconds
const FRAMES = 3;  // until a change can be seen: in 3-D, Plotly draws in the frames that follow

async function load(model) {
  return globalThis.__labPlotlyLibrary ??= (async () => {
    const id = model.get('_library').slice('IPY_MODEL_'.length);
    const carrier = await model.widget_manager.get_model(id);
    const url = URL.createObjectURL(new Blob([carrier.get('source')], { type: 'text/javascript' }));
    try { return (await import(/* webpackIgnore: true */ url)).default } finally { URL.revokeObjectURL(url) }
  })();
}

// Changes that come before Plotly does would be lost. Gives what hands them on, in their order.
function keepChanges(model) {
  const kept = [];
  const keepers = CHANGES.map((name) => [`change:${name}`, () => {
    if (model.get(name) !== null) kept.push([name, model.get(name)]);
  }]);
  for (const [event, keep] of keepers) model.on(event, keep);
  return () => {
    for (const [event, keep] of keepers) model.off(event, keep);
    for (const [name, change] of kept) { model.set(name, change); model.set(name, null); }
  };
}

async function begin(context) {
  const catchUp = keepChanges(context.model);
  const library = await load(context.model);
  const figure = typeof library === 'function' ? await library() : library;
  await figure.initialize?.(context);
  catchUp();
  return figure;
}

// In the picture's place, and as high, until it is there.
function sayMeanwhile({ model, el }) {
  const words = document.createElement('div');
  words.className = 'lab-coming';
  words.textContent = model.get('_meanwhile');
  words.style.minHeight = `${model.get('_widget_layout')?.height ?? 360}px`;
  el.append(words);
  return () => words.remove();
}

const frames = (count, then) => requestAnimationFrame(() => (count > 1 ? frames(count - 1, then) : then()));

// The kernel waits for this with its next change, so that a browser that is slow is never behind.
function tellWhenDrawn({ model, el }, began) {
  let waiting, hidden = document.hidden, gone = false;
  const look = () => { hidden ||= document.hidden; };  // no frames come then, and the clock would count the absence
  document.addEventListener('visibilitychange', look);
  const tell = (number, took) => {
    model.set('_took', took / 1000);
    model.set('_drawn', number);
    try { model.save_changes(); } catch { }  // of a figure that was closed meanwhile nobody hears
  };
  const hear = () => {
    const number = model.get('_sent'), ends = number % 2 === 0;
    if (!ends) { began = performance.now(); hidden = document.hidden; return; }
    frames(FRAMES, () => {
      if (gone) return;
      const took = hidden ? 1000 * model.get('_took') : performance.now() - began;
      clearTimeout(waiting);  // an older change is drawn too
      const rest = el.offsetParent === null ? 0 : Math.min(REST * took, LONGEST_REST);
      waiting = setTimeout(() => tell(number, took), rest);
    });
  };
  model.on('change:_sent', hear);
  hear();  // this view shows what was sent before
  return () => {
    gone = true;
    clearTimeout(waiting);
    document.removeEventListener('visibilitychange', look);
    model.off('change:_sent', hear);
  };
}

// Plotly keeps the wheel over a scene in 3-D to itself, and the page could not be scrolled past it.
// A pinch on a touchpad comes as a wheel with Ctrl, which zooms as before.
function leaveWheelToPage({ el }) {
  const leave = (event) => {
    if (!event.ctrlKey && event.target.closest('.gl-container')) event.stopPropagation();
  };
  el.addEventListener('wheel', leave, true);
  return () => el.removeEventListener('wheel', leave, true);
}

// A function, not an object: each widget gets its own state.
export default () => {
  let figure;
  return {
    // Not waited for: of a model that takes longer than two seconds anywidget hears no message any more.
    initialize(context) { figure = begin(context); },
    async render(context) {
      const done = sayMeanwhile(context);
      const drawing = await figure;
      done();
      const began = performance.now();
      const leave = await drawing.render(context);
      const ends = [tellWhenDrawn(context, began), leaveWheelToPage(context), leave];
      return () => { for (const end of ends) end?.(); };
    },
  };
};
