// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package nvmlreceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/nvmlreceiver/internal/driver"
)

// Waits between two attempts to open the driver: the first, the longest, and the longest while other GPUs are read, since opening
// anew costs them a gap in the events.
const (
	retryFirst    = 5 * time.Second
	retryLongest  = time.Minute
	reopenLongest = 10 * time.Minute
)

// shutdownGrace is how long a shutdown waits for the driver to be closed. One that takes longer is left to itself.
const shutdownGrace = time.Second

var (
	errStopped = errors.New("the receiver is shut down")
	errHangs   = errors.New("the NVIDIA driver hangs while it is opened or closed")
	errNoGPU   = errors.New("the NVIDIA driver is there, but no GPU")
)

// session holds the driver open for the receivers of one configuration, metrics and logs, and opens it anew when it, or a GPU,
// was lost. A driver call can hang for ever, so no method but the goroutines it starts makes one.
type session struct {
	lib     driver.Library
	logger  *zap.Logger
	once    once
	now     func() time.Time
	onEvent []func(gpuEvent) // set before start

	stop chan struct{} // closed by the last shutdown

	mu      sync.Mutex
	members []*member // that are started
	current *generation
	busy    chan struct{} // closed when the opening or closing under way is done; nil when none is
	err     error         // of the last opening
	found   int           // GPUs at the last opening that succeeded, 0 before the first
	faults  map[string]error
	retry   backoff // of opening
	reopen  backoff // of opening anew because of a lost GPU
}

// generation is what one opening of the driver gave.
type generation struct {
	gpus          []foundGPU
	driverVersion string
	cudaVersion   string

	// under session.mu
	users int
	stale bool // to be closed when the last user is gone
}

// foundGPU is a GPU that answered when the driver was opened.
type foundGPU struct {
	device driver.Device
	index  int
	// uuid and name identify it; the others describe it and may be empty.
	uuid, name, model, serial, vbios, pci string
}

func newSession(lib driver.Library, logger *zap.Logger) *session {
	return &session{
		lib: lib, logger: logger, now: time.Now, stop: make(chan struct{}), faults: map[string]error{},
		once:  once{said: map[problem]struct{}{}},
		retry: backoff{first: retryFirst, longest: retryLongest}, reopen: backoff{first: retryFirst, longest: reopenLongest},
	}
}

// start adds a receiver. With failing it opens the driver right away, and a driver that cannot be opened is an error.
func (s *session) start(ctx context.Context, m *member, failing bool) error {
	s.mu.Lock()
	s.members = append(s.members, m)
	first := len(s.members) == 1
	s.mu.Unlock()
	if failing {
		gen, err := s.acquire(ctx)
		if err != nil {
			return fmt.Errorf("no GPU metrics: %w (on_missing_driver: ignore lets the collector start all the same)", err)
		}
		s.release(gen)
	}
	if first && len(s.onEvent) > 0 {
		go s.watch()
	}
	return nil
}

// shutdown takes a receiver off, and closes the driver with the last one. It says whether this was the last one.
func (s *session) shutdown(m *member) bool {
	s.mu.Lock()
	s.members = slices.DeleteFunc(s.members, func(other *member) bool { return other == m })
	if len(s.members) > 0 {
		s.mu.Unlock()
		return false
	}
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.retireLocked()
	busy := s.busy
	s.mu.Unlock()
	if busy != nil {
		grace := time.NewTimer(shutdownGrace)
		defer grace.Stop()
		select {
		case <-busy:
		case <-grace.C:
		}
	}
	return true
}

// acquire gives the open driver, opening it first if need be, to be released when done with. It fails at once while the wait for
// the next attempt is not over, and at the end of ctx.
func (s *session) acquire(ctx context.Context) (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for tried := false; ; tried = true {
		select {
		case <-s.stop:
			return nil, errStopped
		default:
		}
		if s.current != nil {
			s.current.users++
			return s.current, nil
		}
		if s.busy == nil {
			if tried && s.err != nil || !s.retry.due(s.now()) {
				return nil, s.err
			}
			s.busy = make(chan struct{})
			go s.open(s.busy)
		}
		if err := s.awaitLocked(ctx, s.busy); err != nil {
			return nil, err
		}
	}
}

// awaitLocked waits for busy with the lock given up.
func (s *session) awaitLocked(ctx context.Context, busy <-chan struct{}) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-busy:
		return nil
	case <-s.stop:
		return errStopped
	case <-ctx.Done():
		s.once.say(problem{what: "open"}, func() {
			s.logger.Warn("no GPU metrics for now", zap.Error(errHangs))
			s.fault("driver", errHangs)
		})
		return errHangs
	}
}

// retain adds a user to gen, who holds it already.
func (s *session) retain(gen *generation) {
	s.mu.Lock()
	gen.users++
	s.mu.Unlock()
}

// release ends what acquire or retain began.
func (s *session) release(gen *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gen.users--
	select {
	case <-s.stop:
		gen.stale = true
	default:
	}
	if gen.stale {
		s.retireLocked()
	}
}

// renew has the driver opened anew as soon as nobody uses it, since a handle of gen is of no use any more.
func (s *session) renew(gen *generation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if gen == s.current && !gen.stale && s.reopen.due(s.now()) {
		gen.stale = true
		s.reopen.fail(s.now())
	}
}

// healthy says that every GPU of gen answered.
func (s *session) healthy() {
	s.mu.Lock()
	s.reopen.reset()
	s.mu.Unlock()
}

// stale says whether gen is to be given up.
func (s *session) stale(gen *generation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return gen.stale
}

// retireLocked closes the driver if nobody uses it.
func (s *session) retireLocked() {
	gen := s.current
	if gen == nil || gen.users > 0 || s.busy != nil {
		return
	}
	s.current = nil
	busy := make(chan struct{})
	s.busy = busy
	go func() {
		if err := s.lib.Close(); err != nil {
			s.logger.Debug("closing the NVIDIA driver", zap.Error(err))
		}
		s.mu.Lock()
		s.busy = nil
		s.mu.Unlock()
		close(busy)
	}()
}

// open makes one attempt to open the driver and to find its GPUs.
func (s *session) open(busy chan struct{}) {
	gen, err := s.find()

	s.mu.Lock()
	s.busy = nil
	s.err = err
	if err == nil {
		s.current = gen
		s.retry.reset()
	} else {
		s.retry.fail(s.now())
	}
	if driver.CodeOf(err) == driver.PlatformUnsupported {
		s.retry.next = s.now().AddDate(100, 0, 0) // nothing to wait for
	}
	before := s.found
	if err == nil {
		s.found = len(gen.gpus)
	}
	select {
	case <-s.stop:
		s.retireLocked()
	default:
	}
	s.mu.Unlock()
	s.tell(gen, err, before)
	close(busy)
}

// find opens the driver and asks every GPU who it is. A GPU that does not answer is left out.
func (s *session) find() (*generation, error) {
	if err := s.lib.Open(); err != nil {
		if driver.CodeOf(err) == driver.VersionMismatch {
			err = fmt.Errorf("%w: the driver was upgraded; restart the collector, and if that does not help, the computer", err)
		}
		return nil, err
	}
	gen := &generation{}
	gen.driverVersion, _ = s.lib.DriverVersion()
	gen.cudaVersion, _ = s.lib.CUDAVersion()
	count, err := s.lib.DeviceCount()
	for i := 0; i < count && err == nil; i++ {
		gpu, err := s.identify(i)
		if err != nil {
			s.once.say(problem{"GPU " + fmt.Sprint(i), "identify", driver.CodeOf(err)}, func() {
				s.logger.Warn("a GPU does not answer and is left out", zap.Int("gpu", i), zap.Error(err))
			})
			continue
		}
		gen.gpus = append(gen.gpus, gpu)
	}
	if err == nil && len(gen.gpus) == 0 {
		err = errNoGPU
	}
	if err != nil {
		_ = s.lib.Close()
		return nil, err
	}
	return gen, nil
}

func (s *session) identify(index int) (foundGPU, error) {
	device, err := s.lib.Device(index)
	if err != nil {
		return foundGPU{}, err
	}
	gpu := foundGPU{device: device, index: index, name: fmt.Sprintf("GPU %d", index)}
	if gpu.uuid, err = device.UUID(); err != nil {
		return foundGPU{}, err
	}
	gpu.model, _ = device.Name()
	gpu.serial, _ = device.Serial()
	gpu.vbios, _ = device.VBIOSVersion()
	gpu.pci, _ = device.PCIAddress()
	return gpu, nil
}

// tell says what an attempt to open the driver came to, once for each cause. Before is how many GPUs there were until now: where
// there was none, a driver that is missing is no fault.
func (s *session) tell(gen *generation, err error, before int) {
	if err == nil {
		failed := s.once.forget("open")
		s.fault("driver", nil)
		if failed || len(gen.gpus) != before {
			s.logger.Info("reading NVIDIA GPUs", zap.Int("gpus", len(gen.gpus)),
				zap.String("driver", gen.driverVersion), zap.String("cuda", gen.cudaVersion))
		}
		return
	}
	s.once.say(problem{what: "open", code: driver.CodeOf(err)}, func() {
		if driver.CodeOf(err) == driver.PlatformUnsupported {
			s.logger.Info("no GPU metrics", zap.Error(err))
			return
		}
		if driver.CodeOf(err).Missing() && before == 0 {
			s.logger.Info("no GPU metrics; will look again from time to time", zap.Error(err))
			return
		}
		s.logger.Warn("no GPU metrics; will try again from time to time", zap.Error(err))
		s.fault("driver", err)
	})
}

// fault takes note of what is wrong with a part, nil for nothing, and reports the status if it became another one.
func (s *session) fault(part string, err error) {
	s.mu.Lock()
	had, was := len(s.faults) > 0, s.faults[part]
	delete(s.faults, part)
	if err != nil {
		s.faults[part] = err
	}
	has := len(s.faults) > 0
	members := slices.Clone(s.members)
	s.mu.Unlock()

	event := componentstatus.NewEvent(componentstatus.StatusOK)
	switch {
	case err != nil && was == nil:
		event = componentstatus.NewRecoverableErrorEvent(err)
	case !had || has:
		return
	}
	for _, m := range members {
		componentstatus.ReportStatus(m.host, event)
	}
}
