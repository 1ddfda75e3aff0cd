/* Lo que la página necesita del navegador: teclado, regiones desplazables y fórmulas. */

/* El botón de tema pulsa la opción de Material que le corresponde. */
for (const button of document.querySelectorAll("[data-palette-option]")) {
  button.addEventListener("click", () => {
    document.getElementById(button.dataset.paletteOption).click();
    /* Material oculta este botón y muestra el otro: el foco lo sigue. */
    button.form.querySelector("button:not([hidden])")?.focus();
  });
}

/* Menú y búsqueda se abren en el teléfono con casillas ocultas: los botones las pulsan. */
for (const button of document.querySelectorAll("[data-toggle]")) {
  button.addEventListener("click", () => {
    document.getElementById(button.dataset.toggle).click();
    if (button.dataset.toggle === "__search") {
      document.querySelector("[data-md-component=search-query]").focus();
    }
  });
}

/* Una región que se desplaza debe poder enfocarse; una que cabe no debe estorbar. */
const SCROLLABLE = ".md-typeset__scrollwrap, .md-typeset pre > code, div.arithmatex";
const NAMES = [
  [".md-typeset__scrollwrap", "Tabla desplazable"],
  ["div.arithmatex", "Fórmula desplazable"],
  [".salida code", "Salida desplazable"],
  ["code", "Código desplazable"],
];
function markScrollable(element) {
  if (element.scrollWidth > element.clientWidth) {
    element.tabIndex = 0;
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", NAMES.find(([selector]) => element.matches(selector))[1]);
  } else {
    for (const name of ["tabindex", "role", "aria-label"]) element.removeAttribute(name);
  }
}
const observer = new ResizeObserver((entries) => {
  for (const entry of entries) markScrollable(entry.target);
});

for (const element of document.querySelectorAll(".arithmatex")) {
  const source = element.textContent;
  katex.render(source.slice(2, -2), element, {
    displayMode: source.startsWith("\\["),
    throwOnError: true,
  });
}
/* Material envuelve tablas y pone botones de copiar al terminar de cargar: lo demás, después. */
addEventListener("load", () => {
  /* La barra de cada bloque de código no es una región de navegación. */
  for (const bar of document.querySelectorAll(".md-code__nav")) bar.setAttribute("role", "none");
  for (const element of document.querySelectorAll(SCROLLABLE)) observer.observe(element);
});
