const MEND_MILLISECONDS = 100;
const FOCUSABLE = 'select, button, input, textarea, a[href], [tabindex], [contenteditable]';

// In command mode JupyterLab takes single keys (b inserts a cell) from whatever has the focus;
// it leaves an element alone only when the element itself says so.
function keepKeys(panel) {
  for (const element of panel.querySelectorAll(FOCUSABLE)) element.dataset.lmSuppressShortcuts = 'true';
}

// ipywidgets gives a slider's handle no name; the row carries it as a class and a label.
function nameSliders(panel) {
  for (const row of panel.querySelectorAll('.lab-row')) {
    const label = row.querySelector('label, .widget-label')?.textContent;  // innerText would lay the page out anew
    if (!label) continue;
    for (const handle of row.querySelectorAll('[role=slider]')) handle.setAttribute('aria-label', label);
    for (const box of row.querySelectorAll('input[type=number], input[type=text]'))
      if (!box.labels?.length || !box.labels[0].textContent) box.setAttribute('aria-label', label);
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

// Calls `mend` soon after controls have come or gone. What Plotly does to its pictures, many times a second, is no such
// change, and a page on which dozens come at once is mended once.
function watchControls(panel, mend) {
  let waiting;
  const changes = new MutationObserver((records) => {
    if (waiting || records.every(({ target }) => target.closest?.('.js-plotly-plot'))) return;
    waiting = setTimeout(() => { waiting = undefined; mend(); }, MEND_MILLISECONDS);
  });
  changes.observe(panel, { childList: true, subtree: true });
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
    const mend = () => { keepKeys(panel); nameSliders(panel); explain(panel, model.get('titles')); };
    model.on('change:titles', mend);
    mend();
    speakStatus(panel);
    copyOnClick(panel);
    tellClicks(panel, model);
    cease = watchControls(panel, mend);
    width.observe(panel.querySelector('.lab-results'));
  });

  // Plotly does not follow its container: tell the kernel how wide the results are.
  let waiting;
  const width = new ResizeObserver(([results]) => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const pixels = Math.floor(results.contentRect.width);
      if (pixels > 0 && model.get('width') !== pixels) { model.set('width', pixels); model.save_changes(); }
    }, 100);
  });

  // A reload shows what was saved: save once, so that it finds the panel.
  const saving = setTimeout(() => model.widget_manager?.context?.save?.(), 500);

  return () => { clearTimeout(saving); theme.disconnect(); cease?.(); width.disconnect(); };
}

export default { render };
