// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"strings"
)

const (
	tile    = 160 // width and height of an image in a sheet, in pixels
	columns = 9
)

// cutOut returns the output around a box, with the outline of the box, scaled to a tile.
func cutOut(frame *image.YCbCr, b box) *image.RGBA {
	side := 2.5 * max(b.width(), b.height())
	left, top := (b[0]+b[2]-side)/2, (b[1]+b[3]-side)/2
	scale := side / tile
	cut := image.NewRGBA(image.Rect(0, 0, tile, tile))
	for y := range tile {
		for x := range tile {
			at := image.Pt(int(left+(float64(x)+0.5)*scale), int(top+(float64(y)+0.5)*scale))
			if at.In(frame.Rect) {
				cut.Set(x, y, frame.At(at.X, at.Y))
			}
		}
	}
	outline := image.Rect(int((b[0]-left)/scale), int((b[1]-top)/scale), int((b[2]-left)/scale), int((b[3]-top)/scale))
	for x := outline.Min.X; x <= outline.Max.X; x++ {
		cut.Set(x, outline.Min.Y, color.RGBA{G: 255, A: 255})
		cut.Set(x, outline.Max.Y, color.RGBA{G: 255, A: 255})
	}
	for y := outline.Min.Y; y <= outline.Max.Y; y++ {
		cut.Set(outline.Min.X, y, color.RGBA{G: 255, A: 255})
		cut.Set(outline.Max.X, y, color.RGBA{G: 255, A: 255})
	}
	return cut
}

// saveSheets writes images of what a variant left uncovered: the heads, weakest first as in docs/recall.md, and the
// tears, each with the frames before and after it.
func saveSheets(directory string, r result, half string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	var heads, tears []image.Image
	selected := r.selected("", half)
	for _, h := range weakest(selected) {
		heads = append(heads, h.cut)
	}
	for _, t := range selected.Tears {
		for _, cut := range t.cuts {
			tears = append(tears, cut)
		}
	}
	name := filepath.Join(directory, strings.ReplaceAll(r.name, " ", "-"))
	return errors.Join(saveSheet(name+"-heads.png", heads), saveSheet(name+"-tears.png", tears))
}

func saveSheet(path string, tiles []image.Image) error {
	rows := max(1, (len(tiles)+columns-1)/columns)
	sheet := image.NewRGBA(image.Rect(0, 0, tile*columns, tile*rows))
	for i, t := range tiles {
		at := image.Pt(i%columns*tile, i/columns*tile)
		draw.Draw(sheet, image.Rectangle{Min: at, Max: at.Add(image.Pt(tile-1, tile-1))}, t, image.Point{}, draw.Src)
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := png.Encode(file, sheet); err != nil {
		return err
	}
	return file.Close()
}
