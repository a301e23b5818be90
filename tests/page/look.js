// What is wrong with the page as it is shown now; an empty list if nothing is.
(() => {
  const wrong = [];
  const say = (element, what) => {
    const text = (element.textContent || '').trim().replace(/\s+/g, ' ').slice(0, 60);
    wrong.push(`${element.tagName.toLowerCase()}.${element.getAttribute('class') || ''} "${text}": ${what}`);
  };
  const shown = element => element.checkVisibility();
  const scrolls = element => element.closest('.wide') !== null;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) say(root, `${root.scrollWidth} pixels wide in ${root.clientWidth}`);

  // Cut off: wider than its place, or out of the window.
  for (const element of document.body.querySelectorAll('*')) {
    if (!shown(element) || scrolls(element) || element.closest('thead') || element.closest('svg')) continue;
    const box = element.getBoundingClientRect();
    if (box.right > root.clientWidth + 1 || box.left < -1) say(element, `from ${box.left} to ${box.right}`);
    const { clientWidth, scrollWidth, clientHeight, scrollHeight } = element;
    if (clientWidth > 0 && scrollWidth > clientWidth + 1) say(element, `${scrollWidth} pixels wide in ${clientWidth}`);
    if (getComputedStyle(element).overflowY !== 'visible' && scrollHeight > clientHeight + 1) say(element, 'too high');
  }
  // Pictures: all text inside, and large enough.
  const pictures = [...document.querySelectorAll('svg')].filter(shown);
  for (const svg of pictures) {
    const frame = svg.getBoundingClientRect();
    if (frame.width < 250 || frame.height < 150) say(svg, `${frame.width} x ${frame.height}`);
    const scale = frame.width / svg.viewBox.baseVal.width;
    const texts = [...svg.querySelectorAll('text')];
    if (texts.length < 5 || svg.querySelectorAll('circle').length < 2) say(svg, 'the picture is empty');
    for (const text of texts) {
      const box = text.getBoundingClientRect();
      const inside = box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
      if (!inside) say(text, 'out of its picture');
      if (parseFloat(text.getAttribute('font-size')) * scale < 9) say(text, 'too small');
    }
    const boxes = texts.map(text => text.getBoundingClientRect());
    for (let i = 1; i < texts.length; i++) {
      for (let j = 0; j < i; j++) {
        const [a, b] = [boxes[j], boxes[i]];
        const apart = a.right <= b.left || b.right <= a.left || a.bottom <= b.top + 4 || b.bottom <= a.top + 4;
        if (!apart) say(texts[i], `lies on "${texts[j].textContent.trim()}"`);
      }
    }
  }
  // Empty.
  for (const element of document.querySelectorAll('h1, h2, h3, h4, td, th, dt, dd, pre, summary, figcaption, li, p, title')) {
    const bar = element.querySelector('.bar');
    if (element.textContent.trim() === '' && !bar) say(element, 'empty');
  }
  // Legible: the contrast of text with what is behind it, as WCAG 2 has it.
  const channels = color => color.match(/[\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = channels(color).slice(0, 3).map(c => c / 255).map(c => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const seen = new Set();
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !shown(element)) continue;
    const style = getComputedStyle(element);
    const color = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [luminance(color), luminance(behind(element))].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const key = `${color} on ${behind(element)}`;
    if (contrast < 4.5 && !seen.has(key)) say(element, `contrast ${contrast.toFixed(1)}, ${key}`);
    seen.add(key);
  }
  return { wrong, pictures: pictures.length, paper: luminance(behind(document.body)), text: document.body.innerText.length };
})()
