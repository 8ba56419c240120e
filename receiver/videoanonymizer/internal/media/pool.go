// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package media

import "sync"

// pool keeps released frames for reuse, at most as many as were ever in use at once. Their memory is outside the Go
// heap: the garbage collector would otherwise let as much garbage accumulate as the frames occupy before it collects.
type pool struct {
	mu     sync.Mutex
	frames []*Frame
	closed bool
}

// get returns a frame, whose pixels are undefined. It fails with ErrUnsupported if the size is not positive, and with
// ErrTool if there is no memory.
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
	f, err := newFrame(format, width, height)
	if err == nil {
		f.free = p.put
	}
	return f, err
}

func (p *pool) put(f *Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		unmapMemory(f.buffer)
		return
	}
	p.frames = append(p.frames, f)
}

// close frees all frames, and those still in use once they are released.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.frames {
		unmapMemory(f.buffer)
	}
	p.frames, p.closed = nil, true
}
