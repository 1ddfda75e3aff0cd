/* El detalle de cada punto del gráfico, con el ratón o el teclado. Sin este archivo queda el
   <title> de cada punto, y la tabla. */
for (const figure of document.querySelectorAll("figure.ilsvrc")) {
  const detail = figure.querySelector(".ilsvrc-detalle")
  const points = [...figure.querySelectorAll(".punto")]

  const show = (point) => {
    const [who, ...rest] = point.getAttribute("aria-label").replace(/\.$/, "").split("; ")
    const heading = document.createElement("strong")
    heading.textContent = who
    detail.replaceChildren(heading, rest.join(" · "))
    detail.hidden = false
    const frame = figure.getBoundingClientRect()
    const mark = point.querySelector(".marca").getBoundingClientRect()
    const left = mark.left + mark.width / 2 - frame.left - detail.offsetWidth / 2
    const above = mark.top - frame.top - detail.offsetHeight - 14
    const below = mark.bottom - frame.top + 14
    detail.style.left = `${Math.max(0, Math.min(left, frame.width - detail.offsetWidth))}px`
    detail.style.top = `${mark.top - detail.offsetHeight - 14 > 60 ? above : below}px`
  }
  const hide = () => { detail.hidden = true }

  const move = (point, key) => {
    const drawing = points.filter((other) => other.ownerSVGElement === point.ownerSVGElement)
    const here = drawing.indexOf(point)
    const there = {
      ArrowRight: here + 1, ArrowDown: here + 1, ArrowLeft: here - 1, ArrowUp: here - 1,
      Home: 0, End: drawing.length - 1,
    }[key]
    if (there === undefined) return false
    drawing[Math.max(0, Math.min(there, drawing.length - 1))].focus()
    return true
  }

  for (const point of points) {
    point.querySelector("title").remove()  // si no, el navegador mostraría dos recuadros
    point.addEventListener("pointerenter", () => show(point))
    point.addEventListener("pointerleave", () => {
      const focused = figure.querySelector(".punto:focus")
      if (focused) show(focused)
      else hide()
    })
    point.addEventListener("focus", () => show(point))
    point.addEventListener("blur", hide)
    point.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hide()
      else if (move(point, event.key)) event.preventDefault()
    })
  }
}
