package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	again    = time.Second
	interval = 20 * time.Millisecond
	// programPath is where a machine's programs find programs.
	programPath = "/run/lab/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// initialize is the life of a machine's first process. It ends only by being killed.
func initialize(path string) error {
	machine, err := read(path)
	if err != nil {
		return err
	}
	for number := releaseFd; number < forwardFd+len(machine.Forwards); number++ {
		unix.CloseOnExec(number)
	}
	if err := os.Setenv("PATH", programPath); err != nil {
		return err
	}
	release, report := os.NewFile(releaseFd, "release"), os.NewFile(reportFd, "report")
	if count, _ := release.Read(make([]byte, 1)); count != 1 {
		return fmt.Errorf("whoever started this machine is gone")
	}
	release.Close()
	if err := furnish(machine); err != nil {
		fmt.Fprintf(report, "%s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		return err
	}
	for at, forward := range machine.Forwards {
		file := os.NewFile(uintptr(forwardFd+at), forward.From)
		listener, err := net.FileListener(file)
		file.Close()
		if err != nil {
			fmt.Fprintf(report, "%v\n", err)
			return err
		}
		go serve(listener, forward.To)
	}
	running := &children{names: map[int]chan<- syscall.WaitStatus{}}
	for _, program := range machine.Programs {
		go running.keep(program)
	}
	fmt.Fprintln(report, "ready")
	report.Close()
	running.reap()
	return nil
}

// furnish gives the machine its host name, its own /proc, /run and /var, and lets it route.
func furnish(machine *spec) error {
	if err := unix.Sethostname([]byte(machine.Name)); err != nil {
		return fmt.Errorf("cannot set the host name: %w", err)
	}
	// Opened before anything is mounted over: these folders may themselves be below /var or /run.
	sources := map[string]string{
		"/var":         filepath.Join(machine.Folder, "var"),
		"/run/lab/bin": machine.Binaries,
		"/run/lab/etc": filepath.Join(machine.Folder, "etc"),
		"/run/lab/log": filepath.Join(machine.Folder, "log"),
	}
	opened := map[string]int{}
	for at, source := range sources {
		descriptor, err := unix.Open(source, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("cannot open %s: %w", source, err)
		}
		defer unix.Close(descriptor)
		opened[at] = descriptor
	}
	mounts := []struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}{
		// Nothing that is mounted from here on is seen by the host.
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{descriptor(opened["/run/lab/bin"]), "/run/lab/bin", "", unix.MS_BIND, ""},
		{descriptor(opened["/run/lab/etc"]), "/run/lab/etc", "", unix.MS_BIND, ""},
		{descriptor(opened["/run/lab/log"]), "/run/lab/log", "", unix.MS_BIND, ""},
		{descriptor(opened["/var"]), "/var", "", unix.MS_BIND, ""},
		// As on a real node: the kubelet's mounts reach the containers that ask for them.
		{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
	}
	for _, mount := range mounts {
		if strings.HasPrefix(mount.target, "/run/lab/") {
			if err := os.MkdirAll(mount.target, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(mount.source, mount.target, mount.kind, mount.flags, mount.data); err != nil {
			return fmt.Errorf("cannot mount %s: %w", mount.target, err)
		}
	}
	// Packets come in by one cable and leave by another, and their senders live behind neither.
	settings := map[string]string{"ip_forward": "1", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0", "conf/all/send_redirects": "0"}
	for name, value := range settings {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return err
		}
	}
	return nil
}

func descriptor(number int) string {
	return fmt.Sprintf("/proc/self/fd/%d", number)
}

// serve hands every connection on.
func serve(listener net.Listener, to string) {
	for {
		outer, err := listener.Accept()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", listener.Addr(), err)
			time.Sleep(again)
			continue
		}
		go func() {
			defer outer.Close()
			inner, err := net.Dial("tcp4", to)
			if err != nil {
				return
			}
			defer inner.Close()
			done := make(chan struct{}, 2)
			copyHalf := func(from, to net.Conn) {
				_, _ = io.Copy(to, from)
				_ = to.(*net.TCPConn).CloseWrite()
				done <- struct{}{}
			}
			go copyHalf(outer, inner)
			go copyHalf(inner, outer)
			<-done
			<-done
		}()
	}
}

// children are the programs of the machine. The first process also inherits what they leave behind, so it waits for everything.
type children struct {
	sync.Mutex
	names map[int]chan<- syscall.WaitStatus
}

// keep runs a program again and again.
func (running *children) keep(program program) {
	for {
		wait(program.After)
		ended, err := running.start(program)
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s cannot start: %v\n", program.Name, err)
		} else {
			status := <-ended
			fmt.Fprintf(os.Stderr, "%s %s ended: code %d, signal %d\n", time.Now().UTC().Format(time.RFC3339), program.Name, status.ExitStatus(), status.Signal())
		}
		time.Sleep(again)
	}
}

func (running *children) start(program program) (<-chan syscall.WaitStatus, error) {
	file, err := exec.LookPath(program.Args[0])
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile("/run/lab/log/"+program.Name+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer nothing.Close()
	env := []string{"PATH=" + programPath, "HOME=/var/lib", "TMPDIR=/tmp"}
	for name, value := range program.Env {
		env = append(env, name+"="+value)
	}
	// Locked until the number is known: the program may end before it is.
	running.Lock()
	defer running.Unlock()
	process, err := os.StartProcess(file, program.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []*os.File{nothing, log, log},
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	running.names[process.Pid] = ended
	_ = process.Release()
	return ended, nil
}

// reap waits for whatever ends, for good.
func (running *children) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil {
			// Nothing is there to wait for yet.
			time.Sleep(interval)
			continue
		}
		running.Lock()
		if ended, known := running.names[pid]; known {
			delete(running.names, pid)
			ended <- status
		}
		running.Unlock()
	}
}

// wait returns once something listens there.
func wait(at string) {
	network, address, given := strings.Cut(at, ":")
	if !given {
		return
	}
	for {
		connection, err := net.Dial(network, address)
		if err == nil {
			connection.Close()
			return
		}
		time.Sleep(interval)
	}
}
