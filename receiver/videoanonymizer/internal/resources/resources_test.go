// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package resources

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strings"
	"syscall"
	"testing"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain also acts as a program that limits itself, since this process could not lift its own limits, and as its
// child.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "bound" {
		bound(os.Args[2])
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "child" {
		must(json.NewEncoder(os.Stdout).Encode(observe()))
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "denied" {
		denied(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

// itself is the path of this program, also for a user without access to its folder.
const itself = "/proc/self/exe"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// seen holds the attributes of a process.
type seen struct {
	CPUs, Nice, Class, Priority []int // distinct values among the threads
	Threads, GOMAXPROCS         int
}

func observe() (s seen) {
	tids, err := threads()
	must(err)
	add := func(values *[]int, value int) {
		for _, v := range *values {
			if v == value {
				return
			}
		}
		*values = append(*values, value)
	}
	for _, tid := range tids {
		var cpus unix.CPUSet
		must(unix.SchedGetaffinity(tid, &cpus))
		priority, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
		must(err)
		add(&s.CPUs, cpus.Count())
		add(&s.Nice, niceOffset-priority)
		io, _, errno := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, uintptr(tid), 0)
		if errno == unix.EPERM { // denied by a system call filter
			continue
		}
		if errno != 0 {
			panic(errno)
		}
		add(&s.Class, int(io>>ioClassShift))
		add(&s.Priority, int(io&(1<<ioClassShift-1)))
	}
	s.Threads, s.GOMAXPROCS = len(tids), runtime.GOMAXPROCS(0)
	return s
}

// stage is what a process that limits itself observed of itself and of a child.
type stage struct{ Self, Child seen }

func look() (s stage) {
	s.Self = observe()
	out, err := exec.Command(itself, "child").Output()
	must(err)
	must(json.Unmarshal(out, &s.Child))
	return s
}

// hold starts threads that stay until the process ends.
func hold(n int) {
	for range n {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			select {}
		}()
		<-started
	}
}

// bound makes claims one after the other, releases them, and prints what it observed after each step.
func bound(claims string) {
	var limits []Limits
	must(json.Unmarshal([]byte(claims), &limits))
	hold(3)
	stages := []stage{look()}
	var lift []func() error
	for _, l := range limits {
		release, err := Claim(l)
		must(err)
		lift = append(lift, release)
		hold(3)
		stages = append(stages, look())
	}
	for _, release := range lift {
		must(release())
	}
	must(json.NewEncoder(os.Stdout).Encode(append(stages, look())))
}

func runBound(t *testing.T, user *syscall.Credential, limits ...Limits) (stages []stage) {
	t.Helper()
	text, err := json.Marshal(limits)
	require.NoError(t, err)
	cmd := exec.Command(itself, "bound", string(text))
	cmd.Stderr = new(bytes.Buffer)
	if user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
	}
	out, err := cmd.Output()
	require.NoError(t, err, "%s", cmd.Stderr)
	require.NoError(t, json.Unmarshal(out, &stages))
	return stages
}

// TestClaim: limits apply to all threads and children, existing and future, and the strictest count.
func TestClaim(t *testing.T) {
	all := Available()
	stages := runBound(t, nil,
		Limits{Nice: 5, IO: IO{Class: BestEffort, Priority: 6}},
		Limits{CPUs: 1, Nice: 3, IO: IO{Class: Idle}})
	require.Len(t, stages, 4)
	before, first, both, after := stages[0], stages[1], stages[2], stages[3]
	for name, of := range map[string]func(stage) seen{
		"self": func(s stage) seen { return s.Self }, "child": func(s stage) seen { return s.Child },
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, []int{all}, of(before).CPUs)
			assert.Equal(t, []int{all}, of(first).CPUs)
			assert.Equal(t, []int{5}, of(first).Nice)
			assert.Equal(t, []int{int(BestEffort)}, of(first).Class)
			assert.Equal(t, []int{6}, of(first).Priority)
			assert.Equal(t, []int{1}, of(both).CPUs)
			assert.Equal(t, []int{5}, of(both).Nice)
			assert.Equal(t, []int{int(Idle)}, of(both).Class)
			assert.Equal(t, 1, of(both).GOMAXPROCS)
			assert.Equal(t, []int{all}, of(after).CPUs)
			assert.Equal(t, of(before).Class, of(after).Class)
			assert.Equal(t, of(before).GOMAXPROCS, of(after).GOMAXPROCS)
		})
	}
	assert.GreaterOrEqual(t, both.Self.Threads, 9)
}

// TestNiceRemains: if the process may not lower its nice value again, that is not an error, and other claims still
// work.
func TestNiceRemains(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can start a program as another user")
	}
	stages := runBound(t, &syscall.Credential{Uid: 65534, Gid: 65534}, Limits{Nice: 7}, Limits{CPUs: 1})
	assert.Equal(t, []int{7}, stages[1].Self.Nice)
	assert.Equal(t, []int{1}, stages[2].Self.CPUs)
	assert.Equal(t, []int{7}, stages[3].Self.Nice)
	assert.Equal(t, []int{Available()}, stages[3].Self.CPUs)
}

// TestChosenGOMAXPROCS: the operator's GOMAXPROCS applies within the limits.
func TestChosenGOMAXPROCS(t *testing.T) {
	for _, chosen := range []string{"1", "7"} {
		t.Run(chosen, func(t *testing.T) {
			t.Setenv("GOMAXPROCS", chosen)
			stages := runBound(t, nil, Limits{CPUs: Available()})
			want := min(stages[0].Self.GOMAXPROCS, Available())
			assert.Equal(t, want, stages[1].Self.GOMAXPROCS)
		})
	}
}

// denied prints what happens to limits when a system call filter denies a call.
func denied(call string) {
	must(seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Action: seccomp.ActionErrno | seccomp.Action(unix.EPERM), Names: []string{call}},
		},
	}}))
	limits := Limits{CPUs: 1, Nice: 19, IO: IO{Class: Idle}}
	before := observe()
	fmt.Println(Check(limits))
	_, err := Claim(limits)
	fmt.Println(err)
	after := observe()
	fmt.Println(reflect.DeepEqual(before.CPUs, after.CPUs) && reflect.DeepEqual(before.Class, after.Class))
	fmt.Println(Check(Limits{}))
	_, err = Claim(Limits{})
	fmt.Println(err)
}

// TestDenied: if a limit cannot be applied, the error names its key and what to do, and no limit stays behind. Without
// limits there is no error.
func TestDenied(t *testing.T) {
	for call, key := range map[string]string{
		"sched_setaffinity": "resources::cpus", "setpriority": "resources::nice", "ioprio_set": "resources::io_class",
		"ioprio_get": "resources::io_class",
	} {
		t.Run(call, func(t *testing.T) {
			cmd := exec.Command(itself, "denied", call)
			cmd.Stderr = new(bytes.Buffer)
			out, err := cmd.Output()
			require.NoError(t, err, "%s", cmd.Stderr)
			want := fmt.Sprintf("%s: operation not permitted: allow the system call %s for the service or container, "+
				"or remove the key", key, call)
			assert.Equal(t, strings.Join([]string{want, want, "true", "<nil>", "<nil>", ""}, "\n"), string(out))
		})
	}
}

func TestStrictest(t *testing.T) {
	for _, test := range []struct {
		all  []Limits
		want Limits
	}{
		{nil, Limits{}},
		{[]Limits{{CPUs: 4, Nice: 1}, {CPUs: 2}, {}}, Limits{CPUs: 2, Nice: 1}},
		{[]Limits{{IO: IO{BestEffort, 7}}, {IO: IO{Idle, 0}}}, Limits{IO: IO{Idle, 0}}},
		{[]Limits{{IO: IO{BestEffort, 2}}, {IO: IO{BestEffort, 5}}, {}}, Limits{IO: IO{BestEffort, 5}}},
	} {
		assert.Equal(t, test.want, strictest(test.all), fmt.Sprint(test.all))
	}
}

// TestBounded: the last available CPUs are kept, and so is a higher nice value.
func TestBounded(t *testing.T) {
	var a attributes
	for _, cpu := range []int{1, 3, 5, 64} {
		a.cpus.Set(cpu)
	}
	a.nice = 10
	got := a.bounded(Limits{CPUs: 2, Nice: 5})
	assert.Equal(t, 2, got.cpus.Count())
	assert.True(t, got.cpus.IsSet(5) && got.cpus.IsSet(64))
	assert.Equal(t, 10, got.nice)
	assert.Equal(t, a, a.bounded(Limits{CPUs: 4}), "no more than there are")
	assert.Equal(t, a, a.bounded(Limits{CPUs: 9}))
}

// TestCheck: Check leaves this process unchanged.
func TestCheck(t *testing.T) {
	before := observe()
	require.NoError(t, Check(Limits{CPUs: 1, Nice: 19, IO: IO{Class: Idle}}))
	after := observe()
	after.Threads = before.Threads
	assert.Contains(t, after.CPUs, Available())
	assert.Equal(t, before.GOMAXPROCS, after.GOMAXPROCS)
	assert.Contains(t, after.Nice, before.Nice[0])
}
