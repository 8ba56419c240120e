// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"strings"
	"time"
)

const (
	width  = 900
	margin = 210 // for names, at the left
	row    = 22
	plotW  = width - margin - 90
)

// One colour for each stage, and for each origin of a mask.
var colours = map[string]string{
	"process_single_frame": "#9aa0a6", "decode": "#4e79a7", "person_detection": "#f28e2b", "pose_estimation": "#59a14f",
	"tracking": "#bab0ac", "visualization": "#b07aa1", "encode": "#e15759",
	"pose": "#59a14f", "face": "#b07aa1", "box": "#e15759", "interpolated": "#4e79a7", "held": "#f28e2b",
}

// svg is a picture that grows.
type svg struct{ strings.Builder }

func newSVG(height int, title string) *svg {
	s := &svg{}
	fmt.Fprintf(s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(s, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	s.text(16, 26, "start", "#202124", "bold", title)
	return s
}

func (s *svg) text(x, y float64, anchor, colour, weight, text string) {
	fmt.Fprintf(s, `<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s" font-weight="%s">%s</text>`+"\n", x, y, anchor, colour, weight, html.EscapeString(text))
}

func (s *svg) rect(x, y, w, h float64, colour string) {
	fmt.Fprintf(s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, max(w, 1), h, colour)
}

func (s *svg) line(x0, y0, x1, y1 float64) {
	fmt.Fprintf(s, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#e0e0e0"/>`+"\n", x0, y0, x1, y1)
}

func (s *svg) path(points []string, colour string) {
	fmt.Fprintf(s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"/>`+"\n", strings.Join(points, " "), colour)
}

func (s *svg) end() string {
	s.WriteString("</svg>\n")
	return s.String()
}

func ms(d time.Duration) string {
	if d < time.Millisecond {
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
}

// waterfall is the trace of a frame as a trace viewer shows it. The time in which the frame only waits for those after it, which is
// most of it, is cut out.
func waterfall(f frame) string {
	start := f.root.StartTimestamp()
	at := func(t uint64) time.Duration { return time.Duration(t - uint64(start)) }
	// The wait is the longest time in which no stage works: tracking is the wait itself.
	var busyUntil, cutFrom, cutTo time.Duration
	for _, s := range f.spans[1:] {
		if s.Name() == "tracking" {
			continue
		}
		if from := at(uint64(s.StartTimestamp())); from-busyUntil > cutTo-cutFrom {
			cutFrom, cutTo = busyUntil, from
		}
		busyUntil = max(busyUntil, at(uint64(s.EndTimestamp())))
	}
	const kept = 6 * time.Millisecond // of the cut at each side
	cutFrom, cutTo = cutFrom+kept, cutTo-kept
	cut := max(0, cutTo-cutFrom)
	total := length(f.root) - cut
	x := func(t uint64) float64 {
		d := at(t)
		switch {
		case d >= cutTo:
			d -= cut
		case d > cutFrom:
			d = cutFrom
		}
		return margin + float64(d)/float64(total)*plotW
	}

	out := newSVG(60+len(f.spans)*row+30, fmt.Sprintf("The trace of frame %d", f.root.Int("anonymizer.frame.index")))
	for i, s := range f.spans {
		y := float64(48 + i*row)
		colour := colours[s.Name()]
		for j := i; colour == "" && j >= 0; j-- { // a step has the colour of its stage
			if f.spans[j].depth == 1 {
				colour = colours[f.spans[j].Name()]
			}
		}
		x0, x1 := x(uint64(s.StartTimestamp())), x(uint64(s.EndTimestamp()))
		out.text(float64(16+14*s.depth), y+14, "start", "#202124", "normal", s.Name())
		out.rect(x0, y+3, x1-x0, row-7, colour)
		out.text(x1+5, y+14, "start", "#5f6368", "normal", ms(length(s.Span)))
	}
	cutX, bottom := margin+float64(cutFrom)/float64(total)*plotW, float64(48+len(f.spans)*row)
	fmt.Fprintf(out, `<line x1="%.1f" y1="44" x2="%.1f" y2="%.1f" stroke="#202124" stroke-dasharray="3 3"/>`+"\n", cutX, cutX, bottom)
	out.text(cutX, bottom+18, "end", "#5f6368", "normal", fmt.Sprintf("%s left out here, in which the frame waits for those after it", ms(cut)))
	return out.end()
}

// axes draws the frame of a picture over time, and gives where a value lies.
func axes(out *svg, all frames, most float64, format string) (x func(i int) float64, y func(v float64) float64) {
	const top, height, left = 60.0, 200.0, 70.0
	x = func(i int) float64 { return left + float64(i)/float64(max(1, len(all)-1))*(width-left-40) }
	y = func(v float64) float64 { return top + height - v/most*height }
	for i := range 5 {
		v := most * float64(i) / 4
		out.line(left, y(v), width-40, y(v))
		out.text(left-8, y(v)+4, "end", "#5f6368", "normal", fmt.Sprintf(format, v))
	}
	for i := 0; i < len(all); i += 20 {
		out.text(x(i), top+height+20, "middle", "#5f6368", "normal", fmt.Sprint(all[i].root.Int("anonymizer.frame.index")))
	}
	out.text(width/2, top+height+40, "middle", "#5f6368", "normal", "frame")
	return x, y
}

// people is the gauge detected_people_count over the video.
func people(all frames) string {
	most := 4
	for _, f := range all {
		most = max(most, f.root.Int("bbox.count"))
	}
	out := newSVG(310, "People detected (detected_people_count)")
	x, y := axes(out, all, float64((most+3)/4*4), "%.0f")
	var points []string
	for i, f := range all {
		n := float64(f.root.Int("bbox.count"))
		points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(n)), fmt.Sprintf("%.1f,%.1f", x(min(i+1, len(all)-1)), y(n)))
	}
	out.path(points, "#1a73e8")
	return out.end()
}

// stages is p50 and p95 of each stage, but of tracking, which is waiting.
func stages(all frames) string {
	names := []string{"decode", "person_detection", "pose_estimation", "visualization", "encode"}
	out := newSVG(50+len(names)*46+20, "Stages, p50 (dark) and p95 (light)")
	var longest time.Duration
	for _, name := range names {
		longest = max(longest, quantile(all.durations(name), .95))
	}
	for i, name := range names {
		y := float64(50 + i*46)
		d := all.durations(name)
		out.text(16, y+20, "start", "#202124", "normal", name)
		for j, q := range []float64{.5, .95} {
			v := quantile(d, q)
			w := float64(v) / float64(longest) * plotW
			fmt.Fprintf(out, `<rect x="%d" y="%.1f" width="%.1f" height="15" fill="%s" fill-opacity="%.1f"/>`+"\n", margin, y+float64(j*17), max(w, 1), colours[name], []float64{1, .5}[j])
			out.text(margin+w+6, y+float64(j*17)+12, "start", "#5f6368", "normal", ms(v))
		}
	}
	return out.end()
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// masks is how many masks came from what, over the video.
func masks(all frames) string {
	origins := []string{"pose", "face", "interpolated", "held", "box"}
	most := 4
	for _, f := range all {
		most = max(most, f.root.Int("anonymizer.mask.count"))
	}
	out := newSVG(310, "Masks by origin")
	x, y := axes(out, all, float64((most+3)/4*4), "%.0f")
	barW := (width - 110.0) / float64(len(all))
	for i, f := range all {
		sum := 0
		for _, origin := range origins {
			n := f.root.Int("anonymizer.mask.from_" + origin)
			if origin == "interpolated" || origin == "held" {
				n = f.root.Int("anonymizer.mask." + origin)
			}
			if n > 0 {
				out.rect(x(i)-barW/2, y(float64(sum+n)), barW, y(float64(sum))-y(float64(sum+n)), colours[origin])
			}
			sum += n
		}
	}
	for i, origin := range origins {
		out.rect(float64(365+i*105), 16, 12, 12, colours[origin])
		out.text(float64(382+i*105), 27, "start", "#202124", "normal", origin)
	}
	return out.end()
}
