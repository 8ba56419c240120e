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
	tile    = 160 // pixels a side of a picture in a sheet
	columns = 9
)

// cutOut is what an output shows around a head, with the outline of its box, scaled to a tile.
func cutOut(frame *image.YCbCr, b box) *image.RGBA {
	side := 2.5 * max(b.width(), b.height())
	left, top := (b[0]+b[2]-side)/2, (b[1]+b[3]-side)/2
	scale := side / tile
	picture := image.NewRGBA(image.Rect(0, 0, tile, tile))
	for y := range tile {
		for x := range tile {
			at := image.Pt(int(left+(float64(x)+0.5)*scale), int(top+(float64(y)+0.5)*scale))
			if at.In(frame.Rect) {
				picture.Set(x, y, frame.At(at.X, at.Y))
			}
		}
	}
	outline := image.Rect(int((b[0]-left)/scale), int((b[1]-top)/scale), int((b[2]-left)/scale), int((b[3]-top)/scale))
	for x := outline.Min.X; x <= outline.Max.X; x++ {
		picture.Set(x, outline.Min.Y, color.RGBA{G: 255, A: 255})
		picture.Set(x, outline.Max.Y, color.RGBA{G: 255, A: 255})
	}
	for y := outline.Min.Y; y <= outline.Max.Y; y++ {
		picture.Set(outline.Min.X, y, color.RGBA{G: 255, A: 255})
		picture.Set(outline.Max.X, y, color.RGBA{G: 255, A: 255})
	}
	return picture
}

// saveSheets writes what a variant left uncovered into pictures: the heads, weakest first as docs/recall.md lists them, and the
// tears, each with the frames before and after it.
func saveSheets(directory string, r result) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	var heads, tears []image.Image
	for _, h := range weakest(r) {
		heads = append(heads, h.picture)
	}
	for _, t := range r.Tears {
		for _, picture := range t.pictures {
			tears = append(tears, picture)
		}
	}
	name := filepath.Join(directory, strings.ReplaceAll(r.name, " ", "-"))
	return errors.Join(saveSheet(name+"-heads.png", heads), saveSheet(name+"-tears.png", tears))
}

func saveSheet(path string, pictures []image.Image) error {
	rows := max(1, (len(pictures)+columns-1)/columns)
	sheet := image.NewRGBA(image.Rect(0, 0, tile*columns, tile*rows))
	for i, picture := range pictures {
		at := image.Pt(i%columns*tile, i/columns*tile)
		draw.Draw(sheet, image.Rectangle{Min: at, Max: at.Add(image.Pt(tile-1, tile-1))}, picture, image.Point{}, draw.Src)
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
