const FOCUSABLE = 'select, button, input, textarea, a[href], [tabindex], [contenteditable]';

// In command mode JupyterLab takes single keys (b inserts a cell) from whatever has the focus;
// it leaves an element alone only when the element itself says so.
function keepKeys(panel) {
  for (const element of panel.querySelectorAll(FOCUSABLE)) element.dataset.lmSuppressShortcuts = 'true';
}

// ipywidgets gives a slider's handle no name; the row carries it as a class and a label.
function nameSliders(panel) {
  for (const row of panel.querySelectorAll('.lab-row')) {
    const label = row.querySelector('label, .widget-label')?.innerText;
    if (!label) continue;
    for (const handle of row.querySelectorAll('[role=slider]')) handle.setAttribute('aria-label', label);
    for (const box of row.querySelectorAll('input[type=number], input[type=text]'))
      if (!box.labels?.length || !box.labels[0].innerText) box.setAttribute('aria-label', label);
  }
}

function render({ model, el }) {
  el.style.display = 'none';
  const followTheme = () => {
    const dark = document.body.dataset.jpThemeLight === 'false';
    if (model.get('dark') !== dark) { model.set('dark', dark); model.save_changes(); }
  };
  const theme = new MutationObserver(followTheme);
  theme.observe(document.body, { attributes: true, attributeFilter: ['data-jp-theme-light'] });
  followTheme();

  let changes;
  requestAnimationFrame(() => {
    const panel = el.closest('.lab-panel');
    if (!panel) return;
    const mend = () => { keepKeys(panel); nameSliders(panel); };
    mend();
    changes = new MutationObserver(mend);
    changes.observe(panel, { childList: true, subtree: true });
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

  const copy = (message) => { if (message.copy) navigator.clipboard?.writeText(message.copy); };
  model.on('msg:custom', copy);
  return () => { clearTimeout(saving); theme.disconnect(); changes?.disconnect(); width.disconnect(); model.off('msg:custom', copy); };
}

export default { render };
