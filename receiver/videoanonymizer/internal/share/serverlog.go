// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// serverLog forwards what the server logs. Its notices and errors concern what it handles by itself, such as an
// election, so they are logged at debug level. The exception is refused connections, which an operator must act on.
type serverLog struct {
	logger *zap.SugaredLogger
	fatal  chan error

	mu sync.Mutex
	// told is when each refusal was last logged.
	told map[refusal]time.Time
}

func newServerLog(logger *zap.Logger) *serverLog {
	return &serverLog{
		logger: logger.Named("nats").WithOptions(zap.AddCallerSkip(1)).Sugar(), fatal: make(chan error, 1),
		told: map[refusal]time.Time{},
	}
}

func (l *serverLog) Noticef(format string, v ...any) { l.logger.Debugf(format, v...) }
func (l *serverLog) Warnf(format string, v ...any)   { l.logger.Debugf(format, v...) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

// Errorf logs refused connections, each once a day: machines that were refused try again several times a second.
func (l *serverLog) Errorf(format string, v ...any) {
	l.logger.Debugf(format, v...)
	text := fmt.Sprintf(format, v...)
	if r, ok := refusalOf(text); ok && l.isNews(r) {
		l.logger.Warnw(r.kind, zap.String("peer", r.peer), zap.String("error", r.why))
	}
}

// Fatalf is called where the server program would exit.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.logger.Errorf(format, v...)
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default:
	}
}

// last returns the fatal error, if there was one.
func (l *serverLog) last() error {
	select {
	case err := <-l.fatal:
		return err
	default:
		return nil
	}
}

// refusal is a connection that this machine or the other one refused.
type refusal struct {
	// kind is the message to log, peer the address of the other machine without its port, and why the error.
	kind, peer, why string
}

// The kinds of refusals.
const (
	refusedTLS = "the TLS handshake with another machine failed: see that the same authority, share::tls::ca_file, " +
		"signed the certificates of both, and that they name the addresses and have not expired"
	refusedNKey = "a machine was refused: if it belongs to the share, add its public nkey, as a line of its own, to the " +
		"file in share::nkey_file on each machine with an embedded server, and reload these"
)

// refusalOf parses an error of the server, PEER:PORT - CONNECTION - ERROR. A handshake that was merely cut off is not a
// refusal.
func refusalOf(text string) (r refusal, ok bool) {
	peer, text, _ := strings.Cut(text, " - ")
	if r.peer, _, _ = net.SplitHostPort(peer); r.peer == "" {
		return r, false
	}
	if _, why, is := strings.Cut(text, " handshake error: "); is {
		// The error about an expired certificate contains the current time, which would make each one new.
		why, _, _ = strings.Cut(why, ": current time")
		r.kind, r.why = refusedTLS, why
		return r, strings.Contains(why, "tls: ")
	}
	if _, why, is := strings.Cut(text, "authentication error"); is {
		r.kind, r.why = refusedNKey, fmt.Sprintf("authentication error%.200s", why)
		return r, true
	}
	return r, false
}

// mostRefusals limits what strangers can make this machine remember and log.
const mostRefusals = 100

// isNews reports whether a refusal was not logged within the last day, and notes that it is logged now.
func (l *serverLog) isNews(r refusal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for old, at := range l.told {
		if time.Since(at) > 24*time.Hour {
			delete(l.told, old)
		}
	}
	if _, known := l.told[r]; known || len(l.told) >= mostRefusals {
		return false
	}
	l.told[r] = time.Now()
	return true
}
