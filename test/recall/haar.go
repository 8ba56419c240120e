// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// cascade is a face detector that is independent of the program's models: a boosted cascade of Haar-like features (P.
// Viola and M. Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", 2001), trained by the OpenCV
// project and read from its files.
//
// gocv's CascadeClassifier is not an option: the objdetect module of gocv v0.43 does not compile with Debian 12's
// OpenCV 4.6 (it calls FaceDetectorYN::create with buffers), and Debian's package of that module installs some 60
// others.
type cascade struct {
	width, height int // of the search window, in pixels
	stages        []stage
	features      [][]weighted
}

type stage struct {
	threshold float64
	trees     []tree
}

// tree has nodes that compare a feature with a threshold. Their left and right children are nodes (above 0) or leaves
// (negated index).
type tree struct {
	nodes  []node
	leaves []float64
}

type node struct {
	left, right, feature int
	threshold            float64
}

// weighted is one rectangle of a feature, in pixels of the search window.
type weighted struct {
	x, y, w, h int
	weight     float64
}

// found returns the faces of a frame that overlap an annotated head.
func (c *cascade) found(frame *image.YCbCr, heads []head) []box {
	// The smallest window is about a third smaller than a head's box.
	if !slices.ContainsFunc(heads, func(h head) bool {
		return h.FaceVisible &&
			h.Box.height() > 1.4*float64(c.height)
	}) {
		return nil
	}
	return slices.DeleteFunc(c.faces(frame), func(face box) bool {
		return !slices.ContainsFunc(heads, func(h head) bool { return overlap(face, h.Box) > 0.25 })
	})
}

// foundAgain counts the faces of the source's frame that are also found in the output's frame.
func (c *cascade) foundAgain(frame *image.YCbCr, faces []box) int {
	if len(faces) == 0 {
		return 0
	}
	n := 0
	in := c.faces(frame)
	for _, face := range faces {
		if slices.ContainsFunc(in, func(other box) bool { return overlap(face, other) > 0.3 }) {
			n++
		}
	}
	return n
}

// readCascade reads a cascade in OpenCV's current XML format.
func readCascade(path string) (*cascade, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseCascade(data)
}

func parseCascade(data []byte) (*cascade, error) {
	var file struct {
		Cascade struct {
			Height int `xml:"height"`
			Width  int `xml:"width"`
			Stages []struct {
				Threshold float64 `xml:"stageThreshold"`
				Trees     []struct {
					Nodes  string `xml:"internalNodes"`
					Leaves string `xml:"leafValues"`
				} `xml:"weakClassifiers>_"`
			} `xml:"stages>_"`
			Features []struct {
				Rects []string `xml:"rects>_"`
			} `xml:"features>_"`
		} `xml:"cascade"`
	}
	if err := xml.Unmarshal(data, &file); err != nil {
		return nil, err
	}
	c := &cascade{width: file.Cascade.Width, height: file.Cascade.Height}
	var errs []error
	numbers := func(text string, multiple int) []float64 {
		var list []float64
		for _, field := range strings.Fields(text) {
			value, err := strconv.ParseFloat(field, 64)
			errs = append(errs, err)
			list = append(list, value)
		}
		if len(list)%multiple != 0 {
			errs = append(errs, fmt.Errorf("%q: %d numbers are not a multiple of %d", text, len(list), multiple))
			return nil
		}
		return list
	}
	for _, s := range file.Cascade.Stages {
		st := stage{threshold: s.Threshold}
		for _, t := range s.Trees {
			tr := tree{leaves: numbers(t.Leaves, 1)}
			for n := numbers(t.Nodes, 4); len(n) > 0; n = n[4:] {
				tr.nodes = append(tr.nodes, node{int(n[0]), int(n[1]), int(n[2]), n[3]})
			}
			st.trees = append(st.trees, tr)
		}
		c.stages = append(c.stages, st)
	}
	for _, f := range file.Cascade.Features {
		var feature []weighted
		for _, r := range f.Rects {
			if n := numbers(r, 5); len(n) == 5 {
				feature = append(feature, weighted{int(n[0]), int(n[1]), int(n[2]), int(n[3]), n[4]})
			}
		}
		c.features = append(c.features, feature)
	}
	if len(c.stages) == 0 || len(c.features) == 0 || c.width < 3 || c.height < 3 {
		errs = append(errs, errors.New("not a cascade of Haar-like features"))
	}
	return c, errors.Join(errs...)
}

const (
	scaleStep    = 1.15 // ratio of successive face sizes
	minNeighbors = 3    // windows that must agree on a face
)

// faces finds the faces of a frame in its luma.
func (c *cascade) faces(frame *image.YCbCr) []box {
	var hits []box
	size := frame.Rect.Size()
	for scale := 1.0; ; scale *= scaleStep {
		w, h := int(float64(size.X)/scale), int(float64(size.Y)/scale)
		if w < c.width || h < c.height {
			return grouped(hits)
		}
		in := newIntegral(frame, w, h)
		step := 1
		if scale <= 2 {
			step = 2
		}
		for y := 0; y+c.height <= h; y += step {
			for x := 0; x+c.width <= w; x += step {
				if c.accepts(in, x, y) {
					hits = append(hits, box{float64(x) * scale, float64(y) * scale,
						float64(x+c.width) * scale, float64(y+c.height) * scale})
				}
			}
		}
	}
}

// accepts reports whether all stages accept the window at x, y as a face.
func (c *cascade) accepts(in *integral, x, y int) bool {
	// Features are normalized by the standard deviation of the window without its border.
	area := float64((c.width - 2) * (c.height - 2))
	sum, squares := in.sum(x+1, y+1, c.width-2, c.height-2), in.squareSum(x+1, y+1, c.width-2, c.height-2)
	deviation := math.Sqrt(max(area*squares-sum*sum, 0))
	if deviation < 10*area { // less contrast than ten gray levels: not a face
		return false
	}
	for _, s := range c.stages {
		total := 0.0
		for _, t := range s.trees {
			total += t.leaves[-c.leaf(t, in, x, y, deviation)]
		}
		if total < s.threshold {
			return false
		}
	}
	return true
}

// leaf walks down a tree and returns the negated index of the leaf.
func (c *cascade) leaf(t tree, in *integral, x, y int, deviation float64) int {
	at := 0
	for {
		n := t.nodes[at]
		value := 0.0
		for _, r := range c.features[n.feature] {
			value += r.weight * in.sum(x+r.x, y+r.y, r.w, r.h)
		}
		next := n.right
		if value < n.threshold*deviation {
			next = n.left
		}
		if next <= 0 {
			return next
		}
		at = next
	}
}

// integral holds the sums of all pixels above and to the left, so that the sum of any rectangle takes four lookups.
type integral struct {
	stride        int
	sums, squares []float64
}

// newIntegral scales the luma of a frame, averaging four samples per pixel, and builds its integral image.
func newIntegral(frame *image.YCbCr, width, height int) *integral {
	in := &integral{stride: width + 1}
	in.sums, in.squares = make([]float64, in.stride*(height+1)), make([]float64, in.stride*(height+1))
	fx, fy := float64(frame.Rect.Dx())/float64(width), float64(frame.Rect.Dy())/float64(height)
	for y := range height {
		sum, squares := 0.0, 0.0
		for x := range width {
			value := 0.0
			for _, part := range [4][2]float64{{0.25, 0.25}, {0.75, 0.25}, {0.25, 0.75}, {0.75, 0.75}} {
				value += float64(frame.Y[frame.YOffset(int((float64(x)+part[0])*fx), int((float64(y)+part[1])*fy))])
			}
			value /= 4
			sum += value
			squares += value * value
			above := y*in.stride + x + 1
			in.sums[above+in.stride] = in.sums[above] + sum
			in.squares[above+in.stride] = in.squares[above] + squares
		}
	}
	return in
}

func (in *integral) sum(x, y, w, h int) float64 { return rectangle(in.sums, in.stride, x, y, w, h) }
func (in *integral) squareSum(x, y, w, h int) float64 {
	return rectangle(in.squares, in.stride, x, y, w, h)
}

func rectangle(sums []float64, stride, x, y, w, h int) float64 {
	top, bottom := y*stride+x, (y+h)*stride+x
	return sums[top] - sums[top+w] - sums[bottom] + sums[bottom+w]
}

// grouped merges overlapping windows into one face each, and drops faces with too few windows.
func grouped(hits []box) []box {
	var sums []box
	var counts []float64
	for _, hit := range hits {
		found := false
		for i, sum := range sums {
			mean := box{sum[0] / counts[i], sum[1] / counts[i], sum[2] / counts[i], sum[3] / counts[i]}
			if overlap(mean, hit) > 0.4 {
				sums[i] = box{sum[0] + hit[0], sum[1] + hit[1], sum[2] + hit[2], sum[3] + hit[3]}
				counts[i]++
				found = true
				break
			}
		}
		if !found {
			sums, counts = append(sums, hit), append(counts, 1)
		}
	}
	var faces []box
	for i, sum := range sums {
		if counts[i] >= minNeighbors {
			faces = append(faces, box{sum[0] / counts[i], sum[1] / counts[i], sum[2] / counts[i], sum[3] / counts[i]})
		}
	}
	return faces
}

// overlap returns the intersection over union of two boxes, 0 to 1.
func overlap(a, b box) float64 {
	w, h := min(a[2], b[2])-max(a[0], b[0]), min(a[3], b[3])-max(a[1], b[1])
	if w <= 0 || h <= 0 {
		return 0
	}
	return w * h / (a.width()*a.height() + b.width()*b.height() - w*h)
}
