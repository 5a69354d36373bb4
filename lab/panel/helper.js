const MEND_MILLISECONDS = 100;
const FOCUSABLE = 'select, button, input, textarea, a[href], [tabindex], [contenteditable]';

// In command mode JupyterLab takes single keys (b inserts a cell) from whatever has the focus;
// it leaves an element alone only when the element itself says so.
function keepKeys(panel) {
  for (const element of panel.querySelectorAll(FOCUSABLE)) element.dataset.lmSuppressShortcuts = 'true';
}

const labelIn = (place) => place?.querySelector('label, .widget-label')?.textContent;  // innerText would lay the page out

// ipywidgets gives a slider's handle no name, nor a field that has no description: what stands beside it names it,
// or else what it explains about itself.
function nameFields(panel) {
  for (const field of panel.querySelectorAll('[role=slider], select, input, textarea')) {
    if (field.labels?.[0]?.textContent) continue;
    const said = labelIn(field.closest('.widget-slider')) || labelIn(field.closest('.lab-row'));
    const name = said || field.title || field.placeholder;
    if (name && field.ariaLabel !== name) field.ariaLabel = name;
  }
}

// ipywidgets gives the buttons of a player icons and no names.
const PLAYERS = { 'fa-play': 'Play', 'fa-pause': 'Pause', 'fa-stop': 'Back to the first step' };
function namePlayers(panel) {
  for (const icon of panel.querySelectorAll('.widget-play button > i')) {
    const name = PLAYERS[[...icon.classList].find((kind) => kind in PLAYERS)];
    if (name && icon.parentElement.title !== name) Object.assign(icon.parentElement, { title: name, ariaLabel: name });
  }
}

// Whether a toggle is pressed ipywidgets says by a colour only; what unfolds something is expanded.
function tellToggles(panel) {
  for (const toggle of panel.querySelectorAll('.widget-toggle-button, .widget-toggle-buttons button')) {
    const folds = toggle.matches('.lab-fold, .lab-entry-fold, .lab-about-button');
    toggle.setAttribute(folds ? 'aria-expanded' : 'aria-pressed', toggle.classList.contains('mod-active'));
  }
}

// ipywidgets shows no tooltip on a dropdown or checkbox that has a description, and "null" where there is none.
function explain(panel, titles) {
  for (const element of panel.querySelectorAll('[title=null]')) element.removeAttribute('title');
  for (const [name, text] of Object.entries(titles))
    for (const element of panel.querySelectorAll(`.${name} :is(select, input, label, img)`)) {
      if (element.title !== text) element.title = text;
      if (element.matches('img') && element.alt !== text) element.alt = text;
    }
}

// A browser leaves letters out of a number without a word, and ipywidgets puts back what stood there.
const IN_NUMBERS = new Set(['0123456789+-eE. ', (1.5).toLocaleString(navigator.language)].join(''));

function sayWhatIsNoNumber(panel) {
  const refused = new WeakMap();
  const rowOf = (field) => field.closest('.lab-row, .lab-toolbar');
  const ask = (event, act) => { if (event.target.matches('input[type=number]')) act(event.target, rowOf(event.target)); };
  const hush = (field, row) => { refused.delete(field); row?.querySelector('.lab-no-number')?.remove(); };
  const say = (row, text) => {
    const place = row?.querySelector('.lab-no-number') ?? Object.assign(document.createElement('div'),
      { className: 'lab-fault lab-no-number', role: 'alert' });
    place.textContent = `${text} not part of a number: left out.`;
    row?.append(place);
  };
  panel.addEventListener('beforeinput', (event) => ask(event, (field, row) => {
    const typed = event.data ?? '';
    if ([...typed.trim()].every((letter) => IN_NUMBERS.has(letter))) return;
    refused.set(field, (refused.get(field) ?? '') + typed);
    say(row, `“${refused.get(field)}” is`);
  }));
  // Before ipywidgets hears of it: then it is too late to see what a person left.
  panel.addEventListener('change', (event) => ask(event, (field, row) => {
    if (field.validity.badInput) say(row, 'What was typed is');
    else if (!refused.has(field)) hush(field, row);
    refused.delete(field);  // said; the next time it begins anew
  }), true);
  panel.addEventListener('focusout', (event) => ask(event, (field) => refused.delete(field)));
  panel.addEventListener('pointerdown', ({ target }) => hush(target, target.closest('.lab-row')));
}

// What is wider than its place is scrolled by keys too.
function reachTables(panel) {
  for (const table of panel.querySelectorAll('.lab-run-table, .lab-numbers, .lab-layers table'))
    if (table.tabIndex < 0) Object.assign(table, { tabIndex: 0, role: table.role ?? 'group', ariaLabel: 'Table' });
}

// Where on a grid of samples a person clicked, as fractions of its size.
function tellClicks(panel, model) {
  let count = 0;
  panel.addEventListener('click', (event) => {
    const tiles = event.target.closest('img.lab-tiles');
    if (!tiles) return;
    const frame = tiles.getBoundingClientRect();
    const place = [(event.clientX - frame.left) / frame.width, (event.clientY - frame.top) / frame.height];
    model.set('clicked', [...place, ++count]);
    model.save_changes();
  });
}

// A live region must stay in the page while its text changes: the widget's element does, what is in it does not.
function speakStatus(panel) {
  const status = panel.querySelector('.lab-speaks');
  if (status) Object.entries({ role: 'status', 'aria-live': 'polite', 'aria-atomic': 'true' })
    .forEach(([name, value]) => status.setAttribute(name, value));
}

// In the browser, not through the kernel: a busy kernel would be too late for the clipboard's permission.
function copyOnClick(panel) {
  const text = panel.querySelector('.lab-code textarea');
  panel.querySelector('.lab-copy')?.addEventListener('click', () => {
    if (navigator.clipboard) { navigator.clipboard.writeText(text.value); return; }
    text.disabled = false;  // http from another machine has no clipboard, but it has selections
    text.select();
    document.execCommand('copy');
    text.disabled = true;
  });
}

const PANES = { 'lab-compare': 'lab-compare-pane', 'lab-choose': 'lab-choose-pane', 'lab-find-rate': 'lab-finding-pane' };
const LOOK_MILLISECONDS = 50, LOOKS = 100;

// A pane that a button opens may lie below the screen: it comes into view, and the focus goes to it.
function revealPanes(panel) {
  const isOpen = (pane) => pane.offsetParent !== null;
  const awaitOpen = (pane, looks = LOOKS) => {
    if (isOpen(pane)) { reveal(pane, panel.querySelector('.lab-head')); return; }
    if (looks > 0) setTimeout(awaitOpen, LOOK_MILLISECONDS, pane, looks - 1);  // the kernel opens it
  };
  panel.addEventListener('click', ({ target }) => {
    const button = target.closest('.lab-compare, .lab-choose, .lab-find-rate');
    const name = button && Object.keys(PANES).find((each) => button.classList.contains(each));
    const pane = name && panel.querySelector(`.${PANES[name]}`);
    const closes = pane && isOpen(pane) && button.matches('.widget-toggle-button');
    if (pane && !closes) awaitOpen(pane);
    if (target.closest('.lab-finding-close')) panel.querySelector('.lab-find-rate')?.focus();
  });
}

function reveal(pane, head) {
  pane.tabIndex = -1;
  pane.dataset.lmSuppressShortcuts = 'true';
  pane.focus({ preventScroll: true });
  pane.style.scrollMarginTop = `${head.offsetHeight + 4}px`;  // it sticks to the top
  const { top } = pane.getBoundingClientRect();
  if (top < head.getBoundingClientRect().bottom || top > window.innerHeight / 2) pane.scrollIntoView({ block: 'start' });  // its picture comes below
}

// Calls `mend` soon after controls have come, gone or been pressed. What Plotly does to its pictures, many times a second, is no such
// change, and a page on which dozens come at once is mended once.
function watchControls(panel, mend) {
  let waiting;
  const changes = new MutationObserver((records) => {
    if (waiting || records.every(({ target }) => target.closest?.('.js-plotly-plot'))) return;
    waiting = setTimeout(() => { waiting = undefined; mend(); }, MEND_MILLISECONDS);
  });
  changes.observe(panel, { childList: true, subtree: true, attributes: true, attributeFilter: ['class'] });
  return () => { clearTimeout(waiting); changes.disconnect(); };
}

function canDrawSolids() {
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('webgl2') ?? canvas.getContext('webgl');
  context?.getExtension('WEBGL_lose_context')?.loseContext();  // a page has few of them
  return Boolean(context);
}

function render({ model, el }) {
  el.style.display = 'none';
  const solids = canDrawSolids();
  if (model.get('webgl') !== solids) { model.set('webgl', solids); model.save_changes(); }
  const followTheme = () => {
    const dark = document.body.dataset.jpThemeLight === 'false';
    if (model.get('dark') !== dark) { model.set('dark', dark); model.save_changes(); }
  };
  const theme = new MutationObserver(followTheme);
  theme.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-light'] });
  followTheme();

  let cease;
  requestAnimationFrame(() => {
    const panel = el.closest('.lab-panel');
    if (!panel) return;
    const mend = () => {
      keepKeys(panel);
      explain(panel, model.get('titles'));
      nameFields(panel);
      namePlayers(panel);
      tellToggles(panel);
      reachTables(panel);
    };
    model.on('change:titles', mend);
    mend();
    speakStatus(panel);
    copyOnClick(panel);
    revealPanes(panel);
    tellClicks(panel, model);
    sayWhatIsNoNumber(panel);
    cease = watchControls(panel, mend);
    width.observe(panel.querySelector('.lab-main'));
  });

  // Plotly does not follow its container: tell the kernel how wide a column of results is.
  let waiting;
  const width = new ResizeObserver(([column]) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const pixels = Math.floor(column.contentRect.width);
      if (pixels > 0 && model.get('width') !== pixels) { model.set('width', pixels); model.save_changes(); }
    }, 100);
  });

  // A reload shows what was saved: save once, so that it finds the panel.
  const saving = setTimeout(() => model.widget_manager?.context?.save?.(), 500);

  return () => { clearTimeout(saving); theme.disconnect(); cease?.(); width.disconnect(); };
}

export default { render };
