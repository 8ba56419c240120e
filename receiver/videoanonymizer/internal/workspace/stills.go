// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bytes"
	"container/list"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"sync"
	"time"

	"golang.org/x/image/draw"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

const (
	// stillRun is how many frames are decoded at once: seeking and starting a decoder cost more than decoding them.
	stillRun = 8
	// stillBytes limits the size of the cached stills.
	stillBytes = 32 << 20
	// stillQuality is the JPEG quality.
	stillQuality = 88
)

// stills caches the latest stills. Only one run is decoded at a time.
type stills struct {
	workspace *Workspace
	decoding  chan struct{} // holds a value while a run is decoded

	mu    sync.Mutex
	kept  map[stillKey]*list.Element
	order list.List // the latest first
	bytes int
}

type stillKey struct {
	path         string
	stamp        durable.Stamp
	frame, width int
}

type still struct {
	key  stillKey
	jpeg []byte
}

func newStills(w *Workspace) *stills {
	return &stills{workspace: w, decoding: make(chan struct{}, 1), kept: map[stillKey]*list.Element{}}
}

// Still returns a frame of an output as a JPEG.
func (w *Workspace) Still(ctx context.Context, id consoleapi.RevisionID, frame, width int) ([]byte, error) {
	o, err := w.output(id)
	if err != nil {
		return nil, err
	}
	if err := w.intact(&o.Output); err != nil {
		return nil, err
	}
	st, err := durable.StampAt(o.Output.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: the output is missing", consoleapi.ErrNotFound)
	}
	key := stillKey{o.Output.Path, st, frame, width}
	if found := w.stills.get(key); found != nil {
		return found, nil
	}
	select {
	case w.stills.decoding <- struct{}{}:
		defer func() { <-w.stills.decoding }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if found := w.stills.get(key); found != nil { // from the run that was just decoded
		return found, nil
	}
	if err := w.stills.decode(ctx, key); err != nil {
		return nil, err
	}
	if found := w.stills.get(key); found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("%w: the video has no frame %d", consoleapi.ErrNotFound, frame)
}

// decode decodes and caches a run of stills that starts at the requested one.
func (s *stills) decode(ctx context.Context, key stillKey) error {
	if watch.IsPicture(key.path) {
		return s.decodePicture(ctx, key)
	}
	index, file, err := s.workspace.reports.indexOf(report.Path(key.path))
	if err != nil {
		return err
	}
	var times []time.Duration
	err = index.frames(file, key.frame, key.frame+stillRun, func(f *frameLine) {
		times = append(times, time.Duration(f.Time*float64(time.Second)))
	})
	_ = file.Close()
	if err != nil || len(times) == 0 {
		return err
	}
	info, err := s.workspace.proxies.probe(ctx, key.path)
	if err != nil {
		return err
	}
	return s.workspace.opts.Tools.Stills(ctx, info, times, func(i int, frame *media.Frame) error {
		picture, err := encode(frame, key.width)
		at := key
		at.frame += i
		s.put(at, picture)
		return err
	})
}

// encode encodes a frame as a JPEG, scaled down to width unless that is 0.
func encode(frame *media.Frame, width int) ([]byte, error) {
	var picture image.Image = report.Picture(frame)
	if bounds := picture.Bounds(); width > 0 && width < bounds.Dx() {
		scaled := image.NewRGBA(image.Rect(0, 0, width, max(1, bounds.Dy()*width/bounds.Dx())))
		draw.ApproxBiLinear.Scale(scaled, scaled.Rect, picture, bounds, draw.Src, nil)
		picture = scaled
	}
	var text bytes.Buffer
	err := jpeg.Encode(&text, picture, &jpeg.Options{Quality: stillQuality})
	return text.Bytes(), err
}

func (s *stills) get(key stillKey) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.kept[key]
	if element == nil {
		return nil
	}
	s.order.MoveToFront(element)
	return element.Value.(*still).jpeg
}

func (s *stills) put(key stillKey, picture []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[key] != nil {
		return
	}
	s.kept[key] = s.order.PushFront(&still{key, picture})
	s.bytes += len(picture)
	for s.bytes > stillBytes && s.order.Len() > 1 {
		oldest := s.order.Remove(s.order.Back()).(*still)
		delete(s.kept, oldest.key)
		s.bytes -= len(oldest.jpeg)
	}
}
