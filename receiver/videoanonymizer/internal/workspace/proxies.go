// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

const (
	// proxyQuota limits the size of the proxies on disk, in bytes, not counting the latest one.
	proxyQuota = 4 << 30
	// proxyReserve is how much of the disk, in bytes, must stay free when a proxy is made, in addition to the size of the
	// output.
	proxyReserve = 1 << 30
	// maxProbed limits the cached results of probing outputs.
	maxProbed = 1000
)

// proxies are copies of outputs that browsers can play. Losing them costs only time.
type proxies struct {
	workspace *Workspace
	directory string
	making    chan struct{} // holds a value while a proxy is made

	mu     sync.Mutex
	state  map[string]consoleapi.Playback // by path of the proxy: preparing or unavailable
	probed map[string]probed              // by path of the output
}

type probed struct {
	stamp durable.Stamp
	info  media.Info
	err   error
}

func newProxies(w *Workspace, directory string) (*proxies, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	p := &proxies{workspace: w, directory: directory, making: make(chan struct{}, 1),
		state: map[string]consoleapi.Playback{}, probed: map[string]probed{}}
	p.removeUnfinished()
	return p, nil
}

const unfinishedSuffix = ".part"

func (p *proxies) removeUnfinished() {
	left, _ := filepath.Glob(filepath.Join(p.directory, "*"+unfinishedSuffix))
	for _, path := range left {
		_ = os.Remove(path)
	}
}

// probe returns what ffprobe reports about an output. It runs ffprobe once for each change of the output.
func (p *proxies) probe(ctx context.Context, path string) (media.Info, error) {
	st, err := durable.StampAt(path)
	if err != nil {
		return media.Info{}, fmt.Errorf("%w: the output is missing", consoleapi.ErrNotFound)
	}
	p.mu.Lock()
	known, ok := p.probed[path]
	p.mu.Unlock()
	if ok && known.stamp == st {
		return known.info, known.err
	}
	known.stamp = st
	if watch.IsPicture(path) {
		known.info, known.err = p.probePicture(path)
	} else {
		known.info, known.err = p.workspace.opts.Tools.Probe(ctx, path, p.workspace.opts.Limits)
	}
	if known.err != nil && !media.Permanent(known.err) {
		return known.info, known.err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.probed) >= maxProbed {
		clear(p.probed)
	}
	p.probed[path] = known
	return known.info, known.err
}

// playback returns what browsers can play of an output.
func (p *proxies) playback(ctx context.Context, path string) consoleapi.Playback {
	info, err := p.probe(ctx, path)
	if err != nil {
		return consoleapi.Playback{State: consoleapi.PlaybackUnavailable, Message: "the output cannot be read"}
	}
	if watch.IsPicture(path) {
		return consoleapi.Playback{State: consoleapi.PlaybackUnavailable, Message: "a picture cannot be played"}
	}
	if t := info.PlayableType(); t != "" {
		return consoleapi.Playback{State: consoleapi.PlaybackDirect, Type: t}
	}
	proxy, err := p.pathFor(path)
	if err != nil {
		return consoleapi.Playback{State: consoleapi.PlaybackUnavailable, Message: "the output cannot be read"}
	}
	if _, err := durable.StampAt(proxy); err == nil {
		return consoleapi.Playback{State: consoleapi.PlaybackReady, Type: media.ProxyType}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if state, ok := p.state[proxy]; ok {
		return state
	}
	return consoleapi.Playback{State: consoleapi.PlaybackNeeded, Type: media.ProxyType}
}

// pathFor returns the path of the proxy of an output in its current state.
func (p *proxies) pathFor(path string) (string, error) { return proxyPath(p.directory, path) }

func proxyPath(directory, path string) (string, error) {
	st, err := durable.StampAt(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d %d %d", path, st.Inode, st.Size, st.MTime))
	return filepath.Join(directory, hex.EncodeToString(sum[:16])+".mp4"), nil
}

// playable returns the file that browsers play, and its media type.
func (p *proxies) playable(ctx context.Context, path string) (file, mediaType string, err error) {
	switch state := p.playback(ctx, path); state.State {
	case consoleapi.PlaybackDirect:
		return path, state.Type, nil
	case consoleapi.PlaybackReady:
		proxy, err := p.pathFor(path)
		if err != nil {
			return "", "", err
		}
		now := time.Now()
		_ = os.Chtimes(proxy, now, now) // proxies that no one plays are removed first
		return proxy, media.ProxyType, nil
	case consoleapi.PlaybackUnavailable:
		return "", "", fmt.Errorf("%w: %s", consoleapi.ErrNotFound, state.Message)
	default:
		return "", "", fmt.Errorf("%w: browsers cannot play this video: POST proxy makes a copy that they can play",
			consoleapi.ErrNotReady)
	}
}

// PrepareProxy starts to make a proxy, unless there is one or none is needed.
func (w *Workspace) PrepareProxy(ctx context.Context, id consoleapi.RevisionID) (consoleapi.Playback, error) {
	o, err := w.output(id)
	if err != nil {
		return consoleapi.Playback{}, err
	}
	if err := w.intact(&o.Output); err != nil {
		return consoleapi.Playback{}, err
	}
	p, path := w.proxies, o.Output.Path
	now := p.playback(ctx, path)
	if now.State != consoleapi.PlaybackNeeded {
		return now, nil
	}
	info, err := p.probe(ctx, path)
	if err != nil {
		return consoleapi.Playback{}, err
	}
	proxy, err := p.pathFor(path)
	if err != nil {
		return consoleapi.Playback{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if state, ok := p.state[proxy]; ok {
		return state, nil
	}
	p.state[proxy] = consoleapi.Playback{State: consoleapi.PlaybackPreparing, Type: media.ProxyType}
	w.loops.Go(func() { p.make(w.work, info, proxy) })
	return p.state[proxy], nil
}

// make makes a proxy when its turn comes, and then removes the oldest ones.
func (p *proxies) make(ctx context.Context, info media.Info, proxy string) {
	select {
	case p.making <- struct{}{}:
		defer func() { <-p.making }()
	case <-ctx.Done():
		return
	}
	err := p.checkSpace(info.Size)
	temp := strings.TrimSuffix(proxy, ".mp4") + unfinishedSuffix
	if err == nil {
		_ = os.Remove(temp)
		err = p.workspace.opts.Tools.Proxy(ctx, info, temp)
	}
	if err == nil {
		err = os.Rename(temp, proxy)
	}
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	delete(p.state, proxy)
	if err != nil {
		p.workspace.opts.Logger.Warn("a video cannot be played in the browser: its frames can be shown",
			zap.String("video", info.Path), zap.Error(err))
		message := "the copy for browsers could not be made"
		if errors.Is(err, errNoSpace) {
			message = err.Error()
		}
		p.state[proxy] = consoleapi.Playback{State: consoleapi.PlaybackUnavailable, Message: message}
	}
	p.mu.Unlock()
	p.removeOldest(proxy)
	p.workspace.Notify()
}

var errNoSpace = errors.New("the disk is too full to make a copy for browsers")

func (p *proxies) checkSpace(size int64) error {
	var st unix.Statfs_t
	if err := unix.Statfs(p.directory, &st); err != nil {
		return err
	}
	if free := int64(st.Bavail) * st.Bsize; free < size+proxyReserve {
		return errNoSpace
	}
	return nil
}

// removeOldest keeps the proxies within their quota, but never removes the latest.
func (p *proxies) removeOldest(latest string) {
	entries, _ := os.ReadDir(p.directory)
	var files []os.FileInfo
	var total int64
	for _, e := range entries {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), ".mp4") {
			files, total = append(files, info), total+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if total <= proxyQuota {
			return
		}
		if f.Name() != filepath.Base(latest) && os.Remove(filepath.Join(p.directory, f.Name())) == nil {
			total -= f.Size()
		}
	}
}
