// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import "sync"

// pool keeps the frames that were given back. It holds as many as were ever out at once.
type pool struct {
	mu     sync.Mutex
	frames []*Frame
	closed bool
}

// get returns a frame whose pixels are those of whoever had it before.
func (p *pool) get(format PixelFormat, width, height int) (*Frame, error) {
	p.mu.Lock()
	if n := len(p.frames); n > 0 {
		f := p.frames[n-1]
		p.frames = p.frames[:n-1]
		p.mu.Unlock()
		f.released.Store(false)
		return f, nil
	}
	p.mu.Unlock()
	f, err := NewFrame(format, width, height)
	if err == nil {
		f.free = p.put
	}
	return f, err
}

func (p *pool) put(f *Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.frames = append(p.frames, f)
	}
}

// close lets go of all frames, those still out when they come back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames, p.closed = nil, true
}
