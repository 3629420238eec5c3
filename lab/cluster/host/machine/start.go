package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// initArgument makes the program the first process of a machine.
	initArgument = "__init"
	// The descriptors that the first process is handed.
	releaseFd = 3
	reportFd  = 4
	forwardFd = 5
)

// record says which process is the machine, so that a later command knows it again.
type record struct {
	Pid     int    `json:"pid"`
	Started uint64 `json:"started"`
}

// follow makes this process end when the one that asks does. A machine that nobody waits for must not appear later, when somebody
// else has already looked for what is to be removed.
func follow(parent string) error {
	// The signal is sent to the thread that asked for it.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if strconv.Itoa(os.Getppid()) != parent {
		return errors.New("whoever asked for this machine is gone")
	}
	return nil
}

// start makes the machine. Whenever it is killed, either nothing is left but an empty control group, or the machine runs and its
// record is on disk: the first process waits for a word that is only said once the record is written.
func start(path string) error {
	machine, err := read(path)
	if err != nil {
		return err
	}
	// Joined before anything is started, so that all of the machine is in the group from its first moment.
	for _, group := range machine.Groups {
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0); err != nil {
			return fmt.Errorf("cannot join the control group %s: %w", group, err)
		}
	}
	release, released, err := os.Pipe()
	if err != nil {
		return err
	}
	report, reported, err := os.Pipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(machine.Folder, "log", "machine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// A socket belongs to the network namespace that it was made in: made here, it is the host's, and the machine accepts from it.
	listeners, err := listen(machine.Forwards)
	if err != nil {
		return err
	}
	first := exec.Command("/proc/self/exe", initArgument, path)
	first.Stdout, first.Stderr = log, log
	first.ExtraFiles = append([]*os.File{release, reported}, listeners...)
	first.Env = []string{}
	first.Dir = "/"
	first.SysProcAttr = &unix.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	if err := first.Start(); err != nil {
		return fmt.Errorf("cannot make namespaces: %w", err)
	}
	release.Close()
	reported.Close()
	err = finish(machine, first.Process.Pid, released, report)
	if err != nil {
		_ = first.Process.Kill()
		_ = first.Wait()
	}
	return err
}

func finish(machine *spec, pid int, released, report *os.File) error {
	if err := wire(machine, pid); err != nil {
		return fmt.Errorf("cannot wire the network: %w", err)
	}
	started, err := startTime(pid)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(machine.Folder, "machine.json"), record{Pid: pid, Started: started}); err != nil {
		return err
	}
	if _, err := released.Write([]byte{1}); err != nil {
		return err
	}
	said, err := bufio.NewReader(report).ReadString('\n')
	switch {
	case err != nil:
		return errors.New("it ended while it started; machine.log says why")
	case said != "ready\n":
		return errors.New(strings.TrimSpace(said))
	}
	return nil
}

func listen(forwards []forward) ([]*os.File, error) {
	var files []*os.File
	for _, forward := range forwards {
		listener, err := net.Listen("tcp4", forward.From)
		if err != nil {
			return nil, err
		}
		file, err := listener.(*net.TCPListener).File()
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// startTime is when a process began, in ticks since the machine's start: with the number, it names a process for good.
func startTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// write puts the file in its place whole.
func write(path string, value any) error {
	bytes, err := json.Marshal(value)
	if err != nil {
		return err
	}
	beside := path + ".new"
	if err := os.WriteFile(beside, bytes, 0o600); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
